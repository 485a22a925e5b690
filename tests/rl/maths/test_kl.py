"""KL estimators: their signs, their means and gradients by enumeration, and the coefficient's two rules."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.rl.maths.kl import ESTIMATORS, FORGOTTEN, AdaptiveKL, FixedKL, k3, sequence_kl

fast = settings(deadline=None, max_examples=60)
logits = st.lists(st.floats(-3, 3), min_size=5, max_size=5)
ON = torch.tensor([[True]])


@pytest.mark.parametrize(
    ("log_ratio", "wanted"),
    [(0.5, {"k1": -0.5, "k2": 0.125, "k3": 0.14872}), (-0.5, {"k1": 0.5, "k2": 0.125, "k3": 0.10653})],
)
def test_published_values_for_log_ref_minus_log_policy(log_ratio, wanted):
    found = {name: k(torch.tensor([[-2.0]]), torch.tensor([[-2.0 + log_ratio]]), ON).item() for name, k in ESTIMATORS.items()}
    assert found == pytest.approx(wanted, abs=1e-5)


def test_a_policy_that_likes_a_token_more_than_the_reference_pays():
    assert ESTIMATORS["k1"](torch.tensor([[-1.0]]), torch.tensor([[-3.0]]), ON).item() == 2.0


@fast
@given(logits, logits)
def test_over_all_tokens_k1_and_k3_average_to_the_divergence_and_k2_and_k3_are_not_negative(ours, theirs):
    logp, ref = (torch.tensor([values]).log_softmax(-1) for values in (ours, theirs))
    everywhere = torch.ones_like(logp, dtype=torch.bool)
    exact = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=logp), torch.distributions.Categorical(logits=ref)
    )
    for name in ("k1", "k3"):
        mean = (logp.exp() * ESTIMATORS[name](logp, ref, everywhere)).sum(-1)
        torch.testing.assert_close(mean, exact, atol=1e-4, rtol=1e-4)
    for name in ("k2", "k3"):
        assert (ESTIMATORS[name](logp, ref, everywhere) >= 0).all()


@fast
@given(logits, logits)
def test_as_a_loss_k2_pulls_as_the_divergence_does_k1_not_at_all_and_k3_as_its_reverse(ours, theirs):
    theta = torch.tensor([ours], dtype=torch.float32, requires_grad=True)
    logp, ref = theta.log_softmax(-1), torch.tensor([theirs]).log_softmax(-1)
    everywhere = torch.ones_like(logp, dtype=torch.bool)

    def gradient(value):
        return torch.autograd.grad(value, theta, retain_graph=True)[0]

    wanted = {
        "k1": torch.zeros_like(theta),
        "k2": gradient((logp.exp() * (logp - ref)).sum()),
        "k3": gradient((ref.exp() * (ref - logp)).sum()),
    }
    for name, estimate in ESTIMATORS.items():
        found = gradient((logp.exp().detach() * estimate(logp, ref, everywhere)).sum())
        torch.testing.assert_close(found, wanted[name], atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("pad", [math.nan, math.inf, -math.inf, -1e30])
def test_padding_adds_nothing_to_values_or_gradients(name, pad):
    logp = torch.tensor([[-1.0, -2.0, pad], [-1.5, pad, pad]], requires_grad=True)
    ref = torch.tensor([[-1.2, -2.5, 0.0], [-3.0, pad, 1.0]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    kl = ESTIMATORS[name](logp, ref, mask)
    assert not kl[~mask].any()
    torch.testing.assert_close(sequence_kl(kl, mask)[1], ESTIMATORS[name](logp[1:, :1], ref[1:, :1], ON)[0, 0])
    (gradient,) = torch.autograd.grad(kl.sum(), logp)
    assert gradient.isfinite().all() and not gradient[~mask].any()


def test_the_kl_of_a_sequence_is_a_sum_over_its_tokens_alone():
    kl = torch.tensor([[1.0, 2.0, math.nan], [4.0, 8.0, 16.0]])
    mask = torch.tensor([[True, True, False], [False, False, False]])
    assert sequence_kl(kl, mask).tolist() == [3.0, 0.0]


def test_a_fixed_coefficient_stays():
    fixed = FixedKL(0.05)
    fixed.update(100.0, 64)
    assert fixed.beta == 0.05


@pytest.mark.parametrize(("kl", "error"), [(6.0, 0.0), (6.6, 0.1), (60.0, 0.2), (5.4, -0.1), (-5.0, -0.2)])
def test_the_adaptive_coefficient_follows_the_paper_and_the_code(kl, error):
    paper, code = AdaptiveKL(0.15, target=6.0), AdaptiveKL(0.15, target=6.0, horizon=10_000)
    paper.update(kl, 512)
    code.update(kl, 512)
    assert paper.beta == pytest.approx(0.15 * (1 + 0.1 * error))
    assert code.beta == pytest.approx(0.15 * (1 + 0.0512 * error))


def test_a_divergence_that_is_no_number_does_not_become_the_coefficient():
    adaptive = AdaptiveKL(0.1, target=6.0)
    with pytest.raises(ValueError, match="nan"):
        adaptive.update(math.nan, 4)
    assert adaptive.beta == 0.1


@pytest.mark.parametrize("make", [lambda: FixedKL(0.1), lambda: AdaptiveKL(0.1, target=6.0)])
def test_a_raised_coefficient_does_not_fall_below_and_survives_a_resume(make):
    coefficient = make()
    coefficient.raise_to(4)
    for _ in range(50):
        coefficient.update(0.0, 64)
    assert coefficient.beta == pytest.approx(0.4)
    resumed = make()
    resumed.load_state_dict(coefficient.state_dict())
    for one in (coefficient, resumed):
        one.update(60.0, 64)
        assert one.beta == pytest.approx(0.4)
        one.raise_to(2)
        assert one.beta == pytest.approx(0.2)
        one.raise_to(1)
        assert one.beta <= 0.1  # and below it only where the KL itself steers
    assert resumed.state_dict() == coefficient.state_dict()


def test_an_adaptive_coefficient_goes_on_where_it_was():
    straight, first, second = (AdaptiveKL(0.1, target=3.0, horizon=100) for _ in range(3))
    for kl in (1.0, 9.0, 4.0, 3.3):
        straight.update(kl, 8)
    for kl in (1.0, 9.0):
        first.update(kl, 8)
    second.load_state_dict(first.state_dict())
    for kl in (4.0, 3.3):
        second.update(kl, 8)
    assert second.beta == straight.beta


@pytest.mark.parametrize("apart", [12.0, 20.0, 90.0])
def test_one_forgotten_token_does_not_decide_the_step(apart):
    logp = torch.tensor([[-apart, -1.0]], requires_grad=True)
    values = k3(logp, torch.tensor([[0.0, -1.5]]), torch.tensor([[True, True]]))
    values.sum().backward()
    assert values[0, 0].item() == pytest.approx(math.exp(FORGOTTEN) - 1 - FORGOTTEN) and values[0, 1].item() == pytest.approx(
        math.exp(-0.5) - 1 + 0.5, rel=1e-5
    )
    assert logp.grad[0, 0] == 0 and logp.grad[0, 1] != 0
