"""Weights against their formulas, a token at a time."""

import math

import pytest
import torch

from rlaif.rl.maths import mismatch

MASK = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
RATIOS = torch.tensor([[1.1, 0.4, 6.0], [0.9, 1.2, math.nan], [30.0, 1.0, 1.0]])
SAMPLER = torch.tensor([[-1.0, -2.0, -0.5], [-3.0, -1.5, math.inf], [-9.0, math.nan, 0.0]])
TRAINER = SAMPLER + RATIOS.log()


def rows(weights):
    assert not weights[~MASK].any()
    return [row[mask].tolist() for row, mask in zip(weights, MASK, strict=True)]


def test_truncated():
    assert rows(mismatch.truncated(TRAINER, SAMPLER, MASK, 2.0)) == [
        pytest.approx([1.1, 0.4, 2.0], rel=1e-5),
        pytest.approx([0.9, 1.2], rel=1e-5),
        [2.0],
    ]


def test_masked():
    assert rows(mismatch.masked(TRAINER, SAMPLER, MASK, 0.5, 5.0)) == [
        pytest.approx([1.1, 0.0, 0.0], rel=1e-5),
        pytest.approx([0.9, 1.2], rel=1e-5),
        [0.0],
    ]


def test_sequence_masked():
    product = 1.1 * 0.4 * 6.0
    assert rows(mismatch.sequence_masked(TRAINER, SAMPLER, MASK, 3.0)) == [
        pytest.approx([product] * 3, rel=1e-5),
        pytest.approx([0.9 * 1.2] * 2, rel=1e-5),
        [0.0],
    ]


def test_sequence_truncated():
    assert rows(mismatch.sequence_truncated(TRAINER, SAMPLER, MASK, 2.5)) == [
        pytest.approx([2.5] * 3, rel=1e-5),
        pytest.approx([0.9 * 1.2] * 2, rel=1e-5),
        [2.5],
    ]


def test_the_band_is_of_the_geometric_mean_and_so_of_any_length():
    assert (1.1 * 0.4 * 6.0) ** (1 / 3) > 1.3 > (0.9 * 1.2) ** 0.5
    assert rows(mismatch.within_band(TRAINER, SAMPLER, MASK, 0.7, 1.3)) == [[0.0] * 3, [1.0] * 2, [0.0]]


def test_only_bad_responses_that_the_policy_has_left_are_dropped():
    logp = SAMPLER - torch.tensor([[1.0], [1.0], [0.2]])
    advantages = torch.tensor([[-1.0] * 3, [1.0] * 3, [-1.0] * 3])
    assert rows(mismatch.not_left_behind(logp, SAMPLER, advantages, MASK, 0.5)) == [[0.0] * 3, [1.0] * 2, [1.0]]
    assert rows(mismatch.not_left_behind(logp, SAMPLER, advantages, MASK, 1.5)) == [[1.0] * 3, [1.0] * 2, [1.0]]


def test_where_they_agree_every_weight_is_one():
    for weigh in (mismatch.truncated, mismatch.masked, mismatch.sequence_masked, mismatch.sequence_truncated):
        assert rows(weigh(SAMPLER, SAMPLER, MASK)) == [[1.0] * 3, [1.0] * 2, [1.0]]
