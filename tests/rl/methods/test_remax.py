import itertools

import pytest
import torch

from rlaif.errors import UsageError
from rlaif.rl.config import Scored
from rlaif.rl.methods.remax import ReMax
from rlaif.settings import configure

GIVEN = {"source": "none", "model": "none", "out": "none"}


def test_each_is_against_the_greedy_response_at_each_of_its_tokens(scored, totals):
    greedy = torch.tensor([1.0, 1.0, -2.0, -2.0])
    advantages, returns = configure(ReMax, **GIVEN).estimate(scored._replace(greedy=greedy))
    for row, mask in enumerate(scored.mask.tolist()):
        wanted = totals[row] - greedy[row].item()
        assert advantages[row].tolist() == pytest.approx([wanted * on for on in mask], abs=1e-6)
    assert not returns.any()


def test_its_gradient_is_that_of_the_expected_reward_whatever_the_greedy_reward():
    """Over all responses of two tokens of a policy over three, by enumeration."""
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    responses = torch.tensor(list(itertools.product(range(3), repeat=2)))
    rewards = torch.randn(9, generator=torch.Generator().manual_seed(1))
    mask, groups = torch.ones(9, 2, dtype=torch.bool), torch.zeros(9, dtype=torch.long)
    logp = logits.log_softmax(-1)[torch.arange(2), responses]
    chance = logp.sum(-1).exp()
    (wanted,) = torch.autograd.grad((chance * rewards).sum(), logits, retain_graph=True)
    for greedy in (0.0, rewards[4].item(), 7.0):
        nothing = torch.zeros(9, 2)
        scored = Scored(rewards, nothing, 0.0, nothing, mask, groups, torch.full((9,), greedy))
        advantages, _ = configure(ReMax, **GIVEN).estimate(scored)
        (found,) = torch.autograd.grad((chance.detach()[:, None] * advantages * logp).sum(), logits, retain_graph=True)
        torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)


def test_what_has_no_meaning_for_it_is_refused():
    with pytest.raises(UsageError, match="--normalise-rewards"):
        configure(ReMax, **GIVEN, normalise_rewards=True)
    with pytest.raises(UsageError, match="--feedback score or reference"):
        configure(ReMax, **GIVEN, samples=2, feedback="group")
