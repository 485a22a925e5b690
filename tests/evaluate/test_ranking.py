"""Ratings: known strengths come back, intervals cover them, Elo agrees with its definition."""

import math

import numpy as np
import pytest

from rlaif.evaluate import ranking
from rlaif.evaluate.ranking import SCALE, Comparisons, comparisons, elo, intervals, ratings, sandwich
from tests.reference.fake_run import pair_record

TRUE = np.array([0.0, 0.8, -0.5, 1.5])


def played(n=1500, seed=0, per_row=1):
    """Games between players of known strength; those of one row share their luck."""
    draw = np.random.default_rng(seed)
    i = draw.integers(0, 4, n)
    j = (i + draw.integers(1, 4, n)) % 4
    luck = np.repeat(draw.uniform(size=-(-n // per_row)), per_row)[:n]
    won = (luck < 1 / (1 + np.exp(TRUE[j] - TRUE[i]))).astype(float)
    return Comparisons(list("abcd"), i, j, won, np.arange(n) // per_row)


def test_the_strengths_that_made_the_games_come_back_within_their_intervals():
    found = {one.name: one for one in ratings(played())}
    assert list(found) == list("dbac")
    for name, s in zip("abcd", TRUE - TRUE.mean(), strict=True):
        one = found[name]
        assert one.low < 1000 + SCALE * s < one.high
        assert one.high - one.low < 80
    assert [one.rank for one in found.values()] == [1, 2, 3, 4]
    assert sum(one.comparisons for one in found.values()) == 2 * 1500


def test_the_sandwich_agrees_with_the_bootstrap():
    data = played(600, per_row=4)
    plain, drawn = ratings(data), ratings(data, bootstrap=300)
    for one, other in zip(plain, drawn, strict=True):
        assert one.rating == other.rating
        assert (other.high - other.low) == pytest.approx(one.high - one.low, rel=0.25)


def test_comparisons_of_one_row_are_not_independent():
    """Every game told ten times over in the same row must not look surer."""
    data = played(300)
    ten = Comparisons(data.names, *(np.repeat(column, 10) for column in data[1:]))
    once, often = ratings(data), ratings(ten)
    assert often[0].high - often[0].low == pytest.approx(once[0].high - once[0].low, rel=0.01)


def test_intervals_of_95_percent_cover_95_percent():
    """2,000 times; the games of a row share their luck."""
    inside = np.zeros(4)
    truth = TRUE - TRUE.mean()
    for seed in range(2000):
        _, low, high = intervals(played(240, seed, per_row=2))
        inside += (low <= truth) & (truth <= high)
    assert (inside / 2000 >= 0.93).all() and (inside / 2000 <= 0.97).all()


def test_few_rows_at_a_time_are_as_good_as_all(monkeypatch):
    data = played(90, per_row=3)
    values = intervals(data)[0]
    whole = sandwich(data, values)
    monkeypatch.setattr(ranking, "_CHUNK", 7)
    np.testing.assert_allclose(sandwich(data, values), whole, rtol=1e-9)


def test_those_who_cannot_be_told_apart_share_a_rank():
    data = played(40)
    even = data._replace(p=np.full(40, 0.5))
    assert {one.rank for one in ratings(even)} == {1}
    assert np.abs(sandwich(even, np.zeros(4))).max() == 0


def test_elo_of_one_game_is_its_formula():
    data = Comparisons(["a", "b"], np.array([0]), np.array([1]), np.array([1.0]), np.array([1]))
    assert elo(data).tolist() == [1002.0, 998.0]
    twice = Comparisons(["a", "b"], np.array([0, 0]), np.array([1, 1]), np.array([1.0, 1.0]), np.array([1, 2]))
    gain = 4 * (1 - 1 / (1 + 10 ** (-4 / 400)))
    assert elo(twice).tolist() == pytest.approx([1002 + gain, 998 - gain])
    assert math.isclose(sum(elo(played(100))), 4000)


def test_records_are_compared_by_their_columns():
    records = [
        pair_record(3, 0.7, extra={"chosen_model": "x", "rejected_model": "y"}),
        pair_record(4, 0.9, extra={"chosen_model": "x", "rejected_model": "x"}),
        pair_record(5, 0.9, extra={"chosen_model": None, "rejected_model": "y"}),
        pair_record(6, 0.9),
    ]
    data = comparisons(records)
    assert (data.names, data.p.tolist(), data.row.tolist()) == (["x", "y"], [0.7], [3])
    assert comparisons(records, "family").names == []
