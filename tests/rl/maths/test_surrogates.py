"""Each surrogate against its formula a token at a time, and its gradient against the one that the paper derives."""

import math

import pytest
import torch

from rlaif.rl.maths.surrogates import SAPO, SURROGATES, dual_clip, most_uncertain

BOUNDS = (0.2, 0.3)
MASK = torch.tensor([[True, True, True], [True, True, False]])
LOG_RATIO = torch.tensor([[0.5, -0.6, 0.05], [-0.1, 0.9, math.nan]])
ADVANTAGES = torch.tensor([[1.5, 1.5, 1.5], [-2.0, -2.0, math.inf]])
OLD = torch.tensor([[-1.0, -2.0, -0.5], [-3.0, -1.5, 7.0]])


def run(name, log_ratio=LOG_RATIO):
    """(losses, gradient with regard to log π, bounded)."""
    logp = (OLD + log_ratio).requires_grad_()
    losses, bounded = SURROGATES[name](logp, OLD, ADVANTAGES, MASK, BOUNDS)
    losses.sum().backward()
    return losses.detach(), logp.grad, bounded


def tokens(value):
    """(response, token, log ρ, A, response's log ρ) of what counts."""
    for i, row in enumerate(MASK.tolist()):
        ratios = [LOG_RATIO[i, t].item() for t, real in enumerate(row) if real]
        for t, log_ratio in enumerate(ratios):
            yield (
                value[i, t].item(),
                math.exp(log_ratio),
                ADVANTAGES[i, t].item(),
                math.exp(sum(ratios) / len(ratios)),
                len(ratios),
            )


@pytest.mark.parametrize("name", SURROGATES)
def test_where_the_policy_has_not_moved_the_gradient_is_the_policy_gradients(name):
    _, gradient, bounded = run(name, torch.zeros_like(OLD))
    torch.testing.assert_close(gradient[MASK], -ADVANTAGES[MASK], atol=1e-5, rtol=1e-5)
    assert not bounded.any() and not gradient[~MASK].any()


@pytest.mark.parametrize("name", SURROGATES)
def test_what_does_not_count_is_not_read(name):
    losses, gradient, bounded = run(name)
    assert losses.isfinite().all() and gradient.isfinite().all()
    assert not losses[~MASK].any() and not gradient[~MASK].any() and not bounded[~MASK].any()


def test_gspo_bounds_the_mean_ratio_of_a_response():
    losses, gradient, _ = run("gspo")
    for loss, _, advantage, s, _ in tokens(losses):
        assert loss == pytest.approx(max(-advantage * s, -advantage * min(max(s, 0.8), 1.3)), rel=1e-5)
    for slope, _, advantage, s, _ in tokens(gradient):  # a response's tokens share its gradient; all of them have the same loss
        assert slope == pytest.approx(-advantage * s if (s < 1.3 if advantage > 0 else s > 0.8) else 0.0, rel=1e-5)


def test_cispo_never_silences_a_token():
    _, gradient, bounded = run("cispo")
    for slope, ratio, advantage, *_ in tokens(gradient):
        assert slope == pytest.approx(-advantage * min(ratio, 1.3), rel=1e-5)
    assert bounded.tolist() == [[True, False, False], [False, True, False]]


def test_sapos_gradient_fades():
    losses, gradient, bounded = run("sapo")
    for (loss, ratio, advantage, *_), (slope, *_) in zip(tokens(losses), tokens(gradient), strict=True):
        tau = SAPO[advantage < 0]
        gate = 1 / (1 + math.exp(-tau * (ratio - 1)))
        assert loss == pytest.approx(-advantage * gate * 4 / tau, rel=1e-5)
        assert slope == pytest.approx(-advantage * 4 * gate * (1 - gate) * ratio, rel=1e-5)
    assert not bounded.any()


def test_a_bad_token_costs_at_most_so_much():
    losses, _ = SURROGATES["clip"](OLD + 2.0 * MASK, OLD, ADVANTAGES, MASK, BOUNDS)
    bounded = dual_clip(losses, ADVANTAGES, MASK, 3.0)
    assert bounded[1, :2].tolist() == pytest.approx([6.0, 6.0]) and losses[1, 0].item() > 14
    assert bounded[0].tolist() == losses[0].tolist()


@pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 1.0])
def test_the_most_uncertain_tokens_are_a_share_of_all_the_responses(share):
    """By sorting all entropies at once; what stands beside the responses is never among them."""
    entropy = torch.tensor([[0.1, 0.9, 0.3], [0.7, 0.2, math.inf]])
    kept = most_uncertain(entropy, MASK, share)
    many = round(share * 5)
    known = sorted((entropy[i, t].item() for i, t in MASK.nonzero().tolist()), reverse=True)
    assert sorted(entropy[kept].tolist(), reverse=True) == known[:many] and not kept[1, 2]
