import itertools

import pytest
import torch

from rlaif.errors import UsageError
from rlaif.rl.config import Scored
from rlaif.rl.methods.distill import Distill
from rlaif.settings import configure

GIVEN = {"source": "none", "model": "none", "out": "none", "teacher": "none"}


def test_its_gradient_is_that_of_the_divergence_from_the_teacher():
    """Over all responses of two tokens of a policy over three, whose second token depends on the first, by enumeration: the
    gradient of Σ over states, by how often they come, of KL(π ‖ teacher), the states' frequencies held."""
    draw = torch.Generator().manual_seed(0)
    first, then = torch.randn(3, generator=draw).requires_grad_(), torch.randn(3, 3, generator=draw).requires_grad_()
    teachers = torch.randn(3, generator=draw).log_softmax(-1), torch.randn(3, 3, generator=draw).log_softmax(-1)
    responses = torch.tensor(list(itertools.product(range(3), repeat=2)))

    def of(one, two):
        return torch.stack([one[responses[:, 0]], two[responses[:, 0], responses[:, 1]]], -1)

    one, two = first.log_softmax(-1), then.log_softmax(-1)
    per_state = (two.exp() * (two - teachers[1])).sum(-1)
    divergence = (one.exp() * (one - teachers[0])).sum() + (one.detach().exp() * per_state).sum()
    wanted = torch.autograd.grad(divergence, (first, then), retain_graph=True)
    logp = of(one, two)
    apart = (logp - of(*teachers)).detach()
    nothing, mask = torch.zeros(9), torch.ones(9, 2, dtype=torch.bool)
    scored = Scored(nothing, apart, 1.0, torch.zeros(9, 2), mask, torch.arange(9))
    advantages, returns = configure(Distill, **GIVEN).estimate(scored)
    chance = logp.detach().sum(-1).exp()
    found = torch.autograd.grad(-(chance[:, None] * advantages * logp).sum(), (first, then))
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    assert not returns.any()


def test_rewards_count_beside_it_by_what_they_are_above_their_prompts_mean(scored):
    advantages, _ = configure(Distill, **GIVEN).estimate(scored)
    above = [0.75, -0.75, 1.0, -1.0]  # of scores .5 and −1, 2 and 0
    wanted = (torch.tensor(above)[:, None] - 0.1 * scored.kl) * scored.mask
    torch.testing.assert_close(advantages, wanted)


def test_what_makes_no_advantage_is_refused():
    with pytest.raises(UsageError, match="--teacher is missing"):
        configure(Distill, **{**GIVEN, "teacher": None})
    with pytest.raises(UsageError, match="--temperature 1"):
        configure(Distill, **{**GIVEN, "teacher": "http://127.0.0.1:9"}, temperature=0.7)
    with pytest.raises(UsageError, match="--kl k1"):
        configure(Distill, **GIVEN, kl="k3")
    with pytest.raises(UsageError, match="--beta above 0"):
        configure(Distill, **GIVEN, beta=0.0)
