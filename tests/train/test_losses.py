"""The losses against scalar oracles, at their limits, and where numbers are extreme."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.train import losses
from tests.reference import losses as oracle

sums = st.floats(-60, -0.5)
averages = st.floats(-6, -0.05)
labels = st.floats(0, 1)
fast = settings(deadline=None, max_examples=60)

PAIRED = {
    "reward": lambda c, r, rc, rr, p: losses.bradley_terry(c, r, p, margin=0.3, centre=0.01),
    "dpo": losses.dpo,
    "geometric": losses.geometric_dpo,
    "robust": losses.robust_dpo,
    "ipo": losses.ipo,
    "orpo": lambda c, r, rc, rr, p: losses.orpo(c, r, p),
    "cpo": lambda c, r, rc, rr, p: losses.cpo(c, r, -c / 7, -r / 7, p),
    "simpo": lambda c, r, rc, rr, p: losses.simpo(c, r, p),
}
"""Every loss of two responses, as a function of the same five tensors."""
CROSS_ENTROPY = ("reward", "dpo", "cpo", "simpo", "ipo")


def row(*values):
    return [torch.tensor([value], dtype=torch.float32) for value in values]


def close(found, wanted):
    assert found.item() == pytest.approx(wanted, rel=1e-4, abs=1e-4)


@fast
@given(sums, sums, labels, st.floats(0, 2), st.floats(0, 0.1))
def test_bradley_terry_is_its_formula(c, r, p, margin, centre):
    close(losses.bradley_terry(*row(c, r, p), margin=margin, centre=centre), oracle.bradley_terry(c, r, p, margin, centre))


@fast
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=5))
def test_plackett_luce_is_the_probability_of_drawing_in_this_order(scores):
    wanted = oracle.plackett_luce(scores)
    close(losses.plackett_luce(torch.tensor([scores])), wanted)
    padded, mask = torch.full((1, 7), 9.0), torch.zeros(1, 7, dtype=torch.bool)
    padded[0, : len(scores)], mask[0, : len(scores)] = torch.tensor(scores), True
    padded.requires_grad_()
    found = losses.plackett_luce(padded, mask)
    close(found, wanted)
    (gradient,) = torch.autograd.grad(found.sum(), padded)
    assert gradient.isfinite().all()
    assert not gradient[~mask].any()


@fast
@given(sums, sums)
def test_a_ranking_of_two_is_bradley_terry(c, r):
    close(losses.plackett_luce(torch.tensor([[c, r]])), losses.bradley_terry(*row(c, r, 1.0)).item())


@fast
@given(sums, sums, sums, sums, labels, st.floats(0.01, 0.5))
def test_dpo_and_its_kin_are_their_formulas(c, r, rc, rr, p, beta):
    values = row(c, r, rc, rr, p)
    close(losses.dpo(*values, beta=beta), oracle.dpo(c, r, rc, rr, p, beta))
    close(losses.geometric_dpo(*values, beta=beta), oracle.geometric_dpo(c, r, rc, rr, p, beta))
    close(losses.robust_dpo(*values, beta=beta, flip_rate=0.2), oracle.robust_dpo(c, r, rc, rr, p, beta, 0.2))


@fast
@given(sums, sums, sums, sums, labels, st.floats(0.05, 1), st.integers(1, 40), st.integers(1, 40))
def test_ipo_is_its_formula_summed_and_per_token(c, r, rc, rr, p, tau, m, n):
    values, lengths = row(c, r, rc, rr, p), (torch.tensor([m]), torch.tensor([n]))
    close(losses.ipo(*values, tau=tau), oracle.ipo(c, r, rc, rr, p, tau))
    close(losses.ipo(*values, tau=tau, lengths=lengths), oracle.ipo(c, r, rc, rr, p, tau, (m, n)))


@fast
@given(st.lists(st.tuples(sums, sums, labels, sums, sums), min_size=1, max_size=6), st.floats(0.01, 0.5))
def test_kto_is_its_formula(rows, beta):
    policies, references, ps, wrong, wrong_reference = (torch.tensor(column) for column in zip(*rows, strict=True))
    z0 = losses.kto_baseline(wrong, wrong_reference)
    found = losses.kto(policies, references, ps, z0, beta, desirable=1.3, undesirable=0.8)
    mismatched = [(row[3], row[4]) for row in rows]
    wanted = oracle.kto([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], mismatched, beta, 1.3, 0.8)
    assert found.tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-5)


def test_no_gradient_flows_through_ktos_baseline():
    wrong = torch.tensor([-3.0, -4.0], requires_grad=True)
    assert not losses.kto_baseline(wrong, torch.tensor([-9.0, -9.0])).requires_grad
    assert losses.kto_baseline(wrong, torch.tensor([0.0, 0.0])) == 0


@fast
@given(averages, averages, labels, st.floats(0.01, 1))
def test_losses_without_a_reference_are_their_formulas(c, r, p, weight):
    close(losses.orpo(*row(c, r, p), weight=weight), oracle.orpo(c, r, p, weight))
    close(losses.simpo(*row(c, r, p), beta=2.5, gamma=weight), oracle.simpo(c, r, p, 2.5, weight))
    close(losses.cpo(*row(20 * c, 20 * r, -c, -r, p), alpha=weight), oracle.cpo(20 * c, 20 * r, -c, -r, p, 0.1, weight))


@pytest.mark.parametrize("name", PAIRED)
@fast
@given(c=averages, r=averages, rc=averages, rr=averages, p=labels)
def test_exchanging_the_responses_and_the_label_changes_nothing(name, c, r, rc, rr, p):
    close(PAIRED[name](*row(c, r, rc, rr, p)), PAIRED[name](*row(r, c, rr, rc, 1 - p)).item())


@pytest.mark.parametrize("name", CROSS_ENTROPY)
@fast
@given(size=st.floats(0.2, 5))
def test_an_even_label_is_least_at_no_margin(name, size):
    # The mean of the two responses stays, so that what is not about the margin stays the same.
    even = PAIRED[name](*row(-8, -8, -8, -8, 0.5)).item()
    apart = PAIRED[name](*row(-8 + size, -8 - size, -8, -8, 0.5)).item()
    assert even < apart


@fast
@given(c=sums, r=sums, rc=sums, rr=sums)
def test_the_geometric_form_is_flat_at_an_even_label(c, r, rc, rr):
    values = row(c, r, rc, rr)
    values[0].requires_grad_()
    losses.geometric_dpo(*values, torch.tensor([0.5])).sum().backward()
    assert values[0].grad.item() == 0


@fast
@given(p=st.floats(0.05, 0.95))
def test_dpo_settles_where_the_label_says(p):
    """At the minimum the implicit Bradley–Terry probability σ(β h) is p itself."""
    h = (torch.tensor([p]).logit() / 0.1).requires_grad_()
    zero = torch.zeros(1)
    losses.dpo(h, zero, zero, zero, torch.tensor([p]), beta=0.1).sum().backward()
    assert h.grad.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("far", [0.0, -1e-8, -1.0, -1e4])
@pytest.mark.parametrize("name", [*PAIRED, "kto"])
def test_values_and_gradients_stay_finite_in_bfloat16(name, far, p):
    ours, other = (torch.tensor([value], dtype=torch.bfloat16, requires_grad=True) for value in (far, -1e4))
    reference = torch.tensor([-50.0], dtype=torch.bfloat16)
    label = torch.tensor([p], dtype=torch.bfloat16)
    for first, second in ((ours, other), (other, ours)):
        if name == "kto":
            value = losses.kto(first, reference, label, losses.kto_baseline(second, reference))
        else:
            value = PAIRED[name](first, second, reference, reference, label)
        gradients = torch.autograd.grad(value.sum(), [first, second], allow_unused=True)
        assert value.dtype == torch.float32
        assert value.isfinite().all()
        assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


def test_mass_on_labels_is_raised_alike_for_each_of_them():
    logits = torch.tensor([[3.0, 1.0, -2.0, 4.0, 0.0], [9.0, -9.0, 0.0, 1.0, 2.0]], dtype=torch.float64, requires_grad=True)
    probabilities = logits.detach().softmax(-1)
    mass = probabilities[:, :3].sum(-1)
    found = losses.log_mass(logits.log_softmax(-1)[:, :3])
    torch.testing.assert_close(found, mass.log())
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    torch.testing.assert_close(gradient[:, :3], ((1 - mass) / 3)[:, None].expand(2, 3))
    torch.testing.assert_close(gradient[:, 3:], -probabilities[:, 3:])
