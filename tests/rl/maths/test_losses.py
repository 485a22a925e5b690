"""The update's losses against their definition by cases, where gradients stop, and where numbers are extreme."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.rl.maths.losses import clipped, policy_loss, value_loss
from rlaif.rl.maths.mismatch import truncated
from tests.reference import rl as oracle

fast = settings(deadline=None, max_examples=80)
number = st.floats(-3, 3, width=32)
ON = torch.tensor([[True]])


def one(*values):
    return [torch.tensor([[value]], dtype=torch.float32, requires_grad=True) for value in values]


@fast
@given(st.floats(-1.5, 1.5), number, st.floats(0.05, 0.5), st.floats(0.05, 0.5))
def test_the_policys_loss_stops_to_gain_outside_of_the_clip(log_ratio, advantage, low, high):
    logp, old, advantages = one(log_ratio - 2, -2, advantage)
    found = policy_loss(logp, old, advantages, ON, (low, high))
    ratio = math.exp((logp - old).item())
    assert found.item() == pytest.approx(oracle.surrogate(ratio, advantages.item(), low, high), rel=1e-4, abs=1e-5)
    (gradient,) = torch.autograd.grad(found, logp)
    stopped = clipped(logp, old, advantages, ON, (low, high)).item()
    assert stopped == (gradient.item() == 0 and advantages.item() != 0)
    assert policy_loss(logp, old, advantages, ON, None).item() == pytest.approx(-advantages.item() * ratio, rel=1e-4, abs=1e-5)


@fast
@given(st.floats(-5, -0.125), number, st.sampled_from([None, (0.2, 0.2)]))
def test_at_the_old_policy_the_gradient_is_reinforces(log_prob, advantage, clip):
    (logp,) = one(log_prob)
    (found,) = torch.autograd.grad(policy_loss(logp, logp.detach(), torch.tensor([[advantage]]), ON, clip), logp)
    assert found.item() == pytest.approx(-advantage, abs=1e-6)


def test_an_infinite_ratio_is_no_number_problem():
    logp, old, nothing = one(0.0, -1000.0, 0.0)
    for advantage in (nothing, nothing + 1.0, nothing - 1.0):
        loss = policy_loss(logp, old, advantage, ON)
        (gradient,) = torch.autograd.grad(loss, logp)
        assert loss.isfinite().all() and gradient.isfinite().all()


@fast
@given(number, number, number, st.floats(0.05, 1))
def test_the_values_loss_is_the_worse_of_two(value, old, target, clip):
    values, olds, returns = one(value, old, target)
    found = value_loss(values, olds, returns, ON, clip)
    assert found.item() == pytest.approx(oracle.squared_error(value, old, target, clip), rel=1e-4, abs=1e-4)
    assert value_loss(values, olds, returns, ON, None).item() == pytest.approx((value - target) ** 2 / 2, rel=1e-4, abs=1e-5)


def test_importance_is_the_trainers_probability_over_the_samplers_up_to_a_cap():
    trainer = torch.log(torch.tensor([[0.2, 0.4, 0.9, 1.0]], dtype=torch.float32)).requires_grad_()
    sampler = torch.log(torch.tensor([[0.4, 0.4, 0.1, 1.0]]))
    found = truncated(trainer, sampler, torch.tensor([[True, True, True, False]]), cap=2.0)
    assert found.tolist() == [pytest.approx([0.5, 1.0, 2.0, 0.0])]
    assert not found.requires_grad


@pytest.mark.parametrize("pad", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("name", ["policy", "value", "importance"])
def test_padding_adds_nothing_to_values_or_gradients(name, pad):
    mask = torch.tensor([[True, True, False], [True, False, False]])
    first, second, third = (
        torch.tensor([[a, b, 0.0], [c, 0.0, 0.0]]).masked_fill(~mask, pad).requires_grad_()
        for a, b, c in ((-1.0, -2.0, -0.5), (-1.1, -1.0, -0.7), (0.3, -0.4, 2.0))
    )
    losses = {
        "policy": lambda x, y, z, where: policy_loss(x, y, z, where),
        "value": lambda x, y, z, where: value_loss(x, y, z, where),
        "importance": lambda x, y, z, where: truncated(x, y, where),
    }
    found = losses[name](first, second, third, mask)
    assert not found[~mask].any()
    alone = losses[name](first[:1, :2], second[:1, :2], third[:1, :2], mask[:1, :2])
    torch.testing.assert_close(found[:1, :2], alone)
    if name == "policy":
        assert not clipped(first, second, third, mask)[~mask].any()
    if found.requires_grad:
        (gradient,) = torch.autograd.grad(found.sum(), first)
        assert gradient.isfinite().all() and not gradient[~mask].any()


def test_half_precision_is_widened_before_anything_is_computed():
    logp, old = torch.tensor([[-1.0]], dtype=torch.bfloat16), torch.tensor([[-1.01]])
    ratio = -policy_loss(logp, old, torch.ones(1, 1), ON, None)
    assert ratio.dtype == torch.float32 and ratio.item() == pytest.approx(math.exp(0.01), abs=1e-6)
    assert value_loss(logp, logp, logp, ON).dtype == torch.float32
