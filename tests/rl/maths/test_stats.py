"""Running moments are those of all values at once, however they came."""

from __future__ import annotations

import math
import statistics

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.rl.maths.stats import RunningMoments

fast = settings(deadline=None, max_examples=60)
batches = st.lists(st.lists(st.tuples(st.floats(-100, 100, width=32), st.booleans()), max_size=6), max_size=6)


def feed(moments, drawn):
    for rows in drawn:
        values = torch.tensor([value if known else math.nan for value, known in rows])
        moments.update(values, torch.tensor([known for _, known in rows], dtype=torch.bool))
    return moments


@fast
@given(batches, st.integers(0, 6))
def test_batches_merges_and_resumes_make_no_difference(drawn, at):
    values = [value for rows in drawn for value, known in rows if known]
    straight = feed(RunningMoments(), drawn)
    merged = feed(RunningMoments(), drawn[:at])
    resumed = feed(RunningMoments.from_state_dict(merged.state_dict()), drawn[at:])
    merged.merge(feed(RunningMoments(), drawn[at:]))
    assert straight.state_dict() == resumed.state_dict()
    for moments in (straight, merged):
        assert moments.count == len(values)
        assert moments.mean == pytest.approx(statistics.fmean(values) if values else 0, abs=1e-6)
        assert moments.std == pytest.approx(statistics.pstdev(values) if values else 0, abs=1e-6)


def test_what_was_seen_is_normalised_to_mean_zero_and_variance_one_and_missing_stays_missing():
    moments = RunningMoments()
    rewards = torch.tensor([5.0, 7.0, 9.0, math.nan])
    moments.update(rewards, ~rewards.isnan())
    found = moments.normalise(rewards)
    assert found[:3].mean().item() == pytest.approx(0, abs=1e-6)
    assert found[:3].var(unbiased=False).item() == pytest.approx(1, abs=1e-5)
    assert found[3].isnan()


def test_equal_rewards_normalise_to_zero():
    moments = RunningMoments()
    moments.update(torch.full((3,), 2.0), torch.ones(3, dtype=torch.bool))
    assert moments.normalise(torch.full((3,), 2.0)).tolist() == [0.0] * 3
