"""The critic's step against one question at a time."""

from __future__ import annotations

import math

import pytest

from rlaif.train.batches import collate
from rlaif.train.items import Item, Tokens
from rlaif.train.methods.critic import Critic
from tests.reference import losses as oracle

LABELS = {"compare": ((2, 5), (3,)), "score": ((1,), (2, 5), (3,))}


def asked(last_first, last_second, p, mode):
    return Item((Tokens([4, last_first], 1), Tokens([4, 4, last_second], 2)), p, labels=LABELS[mode])


def said(model, token, mode):
    """Probabilities of the labels after a token, by a softmax of our own."""
    weights = [math.exp(value) for value in model.table[token].tolist()]
    return [sum(weights[spelling] for spelling in label) / sum(weights) for label in LABELS[mode]]


@pytest.mark.parametrize("consistency", [0.0, 0.7])
def test_comparisons_cost_what_both_orders_say(model, consistency):
    items = [asked(1, 2, 0.8, "compare"), asked(5, 6, 0.1, "compare")]
    step = Critic("one.yaml", consistency=consistency).step(model, collate(items, 0))
    wanted = sum(
        oracle.both_orders(said(model, a, "compare"), said(model, b, "compare"), p, consistency)
        for a, b, p in ((1, 2, 0.8), (5, 6, 0.1))
    )
    assert step.total.item() == pytest.approx(wanted, rel=1e-5)
    for row, (a, b) in enumerate(((1, 2), (5, 6))):
        (x, y), (v, w) = said(model, a, "compare"), said(model, b, "compare")
        first, second = x / (x + y), w / (v + w)
        assert step.metrics["gap"][row].item() == pytest.approx(first - second, abs=1e-5)
        assert step.metrics["flips"][row].item() == float((first > 0.5) != (second > 0.5))
        assert step.metrics["mass"][row].item() == pytest.approx((x + y + v + w) / 2, rel=1e-5)


def test_scores_cost_what_they_say_of_the_pair(model):
    step = Critic("one.yaml", mode="score").step(model, collate([asked(1, 6, 0.8, "score")], 0))
    wanted = oracle.scored_pair(said(model, 1, "score"), said(model, 6, "score"), 0.8)
    assert step.total.item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("mode", ["compare", "score"])
def test_a_pair_turned_around_costs_the_same(model, mode):
    there, back = asked(1, 6, 0.8, mode), asked(6, 1, 0.2, mode)
    costs = [Critic("one.yaml", mode=mode).step(model, collate([item], 0)).total.item() for item in (there, back)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-5)


def test_it_is_no_policy():
    assert not Critic.prefers()
