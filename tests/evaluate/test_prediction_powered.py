"""An interval that holds what it promises, whatever the critic is worth, and is shorter where the critic is worth something."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlaif.evaluate.agreement import moments
from rlaif.evaluate.prediction_powered import FEWEST, Z, corrected, estimate

TRUTH = 0.7
RUNS, LABELLED, OTHERS = 1500, 120, 1200


def drawn(draw, n, worth):
    """Ŷ in [0, 1] and Y: the share of Ŷ that is Y's own probability is ``worth``, the rest says nothing and is off by .2."""
    probability = draw.beta(7, 3, n) * worth + TRUTH * (1 - worth)
    right = (draw.random(n) < probability).astype(float)
    return np.clip(probability * worth + draw.random(n) * (1 - worth) * 0.6, 0, 1), right


@pytest.mark.parametrize("worth", [0.0, 0.5, 1.0])
def test_it_covers_the_truth_as_often_as_it_says(worth):
    draw = np.random.default_rng(3)
    covered, error = 0, []
    for _ in range(RUNS):
        (predicted, right), (other, unknown) = drawn(draw, LABELLED, worth), drawn(draw, OTHERS, worth)
        found = estimate(moments(predicted, right), moments(other, np.zeros_like(unknown)))
        covered += found.low <= TRUTH <= found.high
        error.append(found.value - TRUTH)
    assert 0.93 <= covered / RUNS <= 0.97
    assert abs(np.mean(error)) < 3 * np.std(error) / math.sqrt(RUNS) + 0.002


def test_a_critic_that_knows_shortens_the_interval_and_one_that_does_not_costs_nothing():
    draw = np.random.default_rng(0)
    truth = (draw.random(LABELLED) < TRUTH).astype(float)
    other = (draw.random(OTHERS) < TRUTH).astype(float)
    alone = 2 * Z * float(truth.std()) / math.sqrt(LABELLED)
    knowing = estimate(moments(truth, truth), moments(other, other))
    assert knowing.high - knowing.low < 0.45 * alone
    noise = estimate(moments(draw.random(LABELLED), truth), moments(draw.random(OTHERS), other))
    assert noise.high - noise.low < 1.02 * alone
    constant = estimate(moments(np.full(LABELLED, 0.9), truth), moments(np.full(OTHERS, 0.9), other))
    assert constant.value == pytest.approx(truth.mean())
    assert constant.high - constant.low == pytest.approx(alone)


def test_without_enough_labels_or_without_others_there_is_none():
    few, many = np.ones(19), np.ones(50)
    assert math.isnan(estimate(moments(few, few), moments(many, many)).value)
    assert math.isnan(estimate(moments(many, many), moments(few[:0], few[:0])).value)


@pytest.mark.parametrize(("worth", "apart"), [(0.0, 0.0), (0.0, 0.3), (0.5, 0.3), (1.0, 0.3)])
def test_a_corrected_win_rate_covers_the_truth_where_prompts_have_several_pairs(worth, apart):
    """apart: how far prompts' own rates are from the mean; the critic is off by up to .2, and as biased on all of them."""
    draw = np.random.default_rng(4)
    prompts, each, labels = 150, 3, 150
    cluster, covered = np.arange(prompts).repeat(each), 0
    for _ in range(2000):
        own = (TRUTH + draw.uniform(-apart, apart, prompts)).repeat(each)
        predicted = np.clip(own * worth + draw.random(prompts * each) * (1 - worth) + 0.2, 0, 1)
        known = np.full(prompts * each, np.nan)
        labelled = draw.choice(prompts * each, labels, replace=False)
        known[labelled] = draw.random(labels) < own[labelled]
        found = corrected(predicted, known, cluster)
        covered += found.low <= TRUTH <= found.high
    assert 0.93 <= covered / 2000 <= 0.97


def test_of_single_pairs_it_is_the_same_estimate():
    draw = np.random.default_rng(5)
    predicted, known = drawn(draw, 600, 0.5)
    known[80:] = np.nan
    one = corrected(predicted, known, np.arange(600))
    other = estimate(moments(predicted[:80], known[:80]), moments(predicted[80:], np.zeros(520)))
    assert one == pytest.approx(other, abs=2e-3)


def test_labels_of_all_are_their_mean_and_too_few_say_nothing():
    known = np.array([1.0, 0.0, 0.5, 1.0] * 10)
    found = corrected(np.full(40, 0.9), known, np.arange(40))
    assert found.value == known.mean() and found.low < found.value < found.high
    known[FEWEST - 1 :] = np.nan
    assert math.isnan(corrected(np.full(40, 0.9), known, np.arange(40)).value)
