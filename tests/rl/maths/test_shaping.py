"""Where the score lands, what a response that does not end gets, and where a response is cut."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.rl.maths.shaping import group_lengths, missing_eos, soft_overlong, token_rewards, truncate_at

fast = settings(deadline=None, max_examples=60)


@pytest.mark.parametrize(("how", "wanted"), [("replace", [0.7, -1.0, -1.0]), ("subtract", [0.7, -0.6, -3.0])])
def test_the_penalty_replaces_or_is_subtracted(how, wanted):
    found = missing_eos(torch.tensor([0.7, 0.4, -2.0]), torch.tensor([True, False, False]), 1.0, how)
    assert found.tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("how", ["replace", "subtract"])
def test_the_penalty_invents_no_score(how):
    assert missing_eos(torch.tensor([math.nan]), torch.tensor([False]), 1.0, how).isnan().all()


@fast
@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(-2, 2, width=32)), min_size=1, max_size=5),
    st.floats(0, 1),
    st.sampled_from([math.nan, math.inf, 3.0]),
)
def test_the_score_is_at_the_last_token_and_every_token_pays_for_its_divergence(rows, beta, pad):
    width = 6
    mask = torch.tensor([[t < length for t in range(width)] for length, _ in rows])
    kl = torch.tensor([[0.25 * t - 0.5 for t in range(width)]] * len(rows)).masked_fill(~mask, pad)
    found = token_rewards(torch.tensor([score for _, score in rows]), kl, mask, beta)
    for b, (length, score) in enumerate(rows):
        for t in range(width):
            penalty = -beta * (0.25 * t - 0.5) if t < length else 0.0
            wanted = penalty + (score if t == length - 1 else 0.0)
            assert found[b, t].item() == pytest.approx(wanted, abs=1e-5)


def test_a_gap_in_the_response_gets_no_score():
    found = token_rewards(torch.tensor([1.0]), torch.zeros(1, 4), torch.tensor([[True, False, True, False]]), 0.1)
    assert found.tolist() == [[0.0, 0.0, 1.0, 0.0]]


def test_a_missing_score_whose_row_has_no_mask_leaves_no_trace():
    found = token_rewards(torch.tensor([math.nan, 1.0]), torch.zeros(2, 2), torch.tensor([[False] * 2, [True] * 2]), 0.1)
    assert found.tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("ids", "length", "kept", "found"),
    [
        ([5, 9, 5, 5], 4, 4, False),  # a full stop, but too early
        ([5, 9, 9, 5], 4, 3, True),  # at the first position allowed
        ([5, 5, 5, 9], 4, 4, True),
        ([5, 5, 9, 9], 4, 3, True),  # the first of two
        ([5, 5, 5, 9], 3, 3, False),  # padding that looks like one
    ],
)
def test_a_response_is_cut_behind_the_first_token_late_enough(ids, length, kept, found):
    mask = torch.tensor([[t < length for t in range(4)]])
    left, has = truncate_at(torch.tensor([ids]), mask, token=9, after=2)
    assert left.tolist() == [[t < kept for t in range(4)]]
    assert has.tolist() == [found]


def test_without_the_token_the_penalty_replaces_the_score():
    ids = torch.tensor([[1, 1, 9], [1, 1, 1]])
    _, ended = truncate_at(ids, torch.ones_like(ids, dtype=torch.bool), token=9, after=1)
    assert missing_eos(torch.tensor([0.5, 0.5]), ended, penalty=1.0).tolist() == [0.5, -1.0]


def test_a_long_response_costs_in_a_line_up_to_one():
    """DAPO's own cases, a response at a time: L = 20, c = 4."""
    found = soft_overlong(torch.tensor([1, 16, 17, 19, 20, 25]), 20, 4)
    assert found.tolist() == [0.0, 0.0, -0.25, -0.75, -1.0, -1.0]


@fast
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 50)), min_size=1, max_size=12))
def test_shorter_than_the_groups_other_samples_is_better(drawn):
    groups, lengths = (torch.tensor(each) for each in zip(*drawn, strict=True))
    found = group_lengths(lengths, groups).tolist()
    for group in {group for group, _ in drawn}:
        mine = [length for one, length in drawn if one == group]
        span = max(mine) - min(mine) or 1
        weights = [1 - (length - min(mine)) / span for length in mine]
        wanted = [weight - sum(weights) / len(weights) for weight in weights]
        assert [value for value, (one, _) in zip(found, drawn, strict=True) if one == group] == pytest.approx(wanted, abs=1e-6)
