"""A reward model's figures, of simulated models whose calibration and bias are known."""

import math

import numpy as np
import pytest

from rlaif.evaluate.reward import Judged, Pairs, cells, facts, pairs_of, rewards
from rlaif.evaluate.rewardbench import best_of


def simulated(n=4000, beta=1.0, length=0.0, category="", seed=0):
    """Pairs whose better response is the likelier one as often as σ(beta · odds) says; leads go by length as told."""
    rng = np.random.default_rng(seed)
    odds = np.abs(rng.normal(0, 1.5, n))
    odds = np.where(rng.random(n) < 1 / (1 + np.exp(-beta * odds)), odds, -odds)
    longer = length * odds + math.sqrt(1 - length**2) * rng.normal(0, np.sqrt(np.mean(odds**2)), n)
    return Pairs(odds / 3, odds, longer, np.arange(n), [category] * n)


def test_a_calibrated_model_is_found_to_be_one():
    (line,) = rewards(simulated())
    assert line.ece < line.ece_by_chance < 0.03
    assert line.slope.low < 1 < line.slope.high and line.slope.value == pytest.approx(1, abs=0.1)
    assert line.length.low < 0 < line.length.high


def test_too_sure_a_model_is_found_to_be_so():
    (line,) = rewards(simulated(beta=0.4))
    assert line.ece > 2 * line.ece_by_chance
    assert line.slope.high < 1 and line.slope.value == pytest.approx(0.4, abs=0.06)


def test_a_model_that_goes_by_length_is_found_to_do_so():
    (line,) = rewards(simulated(length=0.6))
    assert line.length.value == pytest.approx(0.6, abs=0.05)
    assert line.longer.low > line.shorter.high


def test_categories_come_before_all_and_rewardbench_has_sections():
    first, second = simulated(30, category="b"), simulated(60, category="a", seed=1)
    both = Pairs(*(np.concatenate(pair) for pair in zip(first[:4], second[:4], strict=True)), [*first[4], *second[4]])
    assert [(line.name, line.pairs) for line in rewards(both)] == [("a", 60), ("b", 30), ("all", 90)]
    lines = rewards(both._replace(category=["math-prm"] * 30 + ["donotanswer"] * 60))
    assert [line.name for line in lines] == ["donotanswer", "math-prm", "Safety", "Reasoning", "all"]
    assert lines[-1].accuracy.value == pytest.approx((lines[0].accuracy.value + lines[1].accuracy.value) / 2)


def test_best_of_several_has_a_column_where_there_is_some():
    lines = rewards(simulated(9, category="Math"), best_of([("Math", 1.0), ("Focus", 0.0)]))
    assert [(line.name, line.best_of.value) for line in lines] == [("Math", 1.0), ("Focus", 0.0), ("all", 0.5)]
    assert cells(lines)[0][2] == "best of" and cells(lines)[2][2:4] == ["0.0% [0.0, 79.3]", "–"]
    assert "best of" not in cells(rewards(simulated(9)))[0]


def test_what_the_table_has_no_room_for_is_said_of_all_pairs():
    slope, length, longer = facts(rewards(simulated(200)))
    assert slope.startswith("slope: ") and length.startswith("r with length: ") and "the shorter one: " in longer


def test_all_pairs_of_which_one_is_known_to_be_better():
    nothing = math.nan
    responses = [Judged(1, 2, 3.0, 10), Judged(0, 0, 1.0, 4), Judged(5, 5, 3.0, 1), Judged(9, 9, None, 1)]
    responses.append(Judged(nothing, nothing, 0.0, 1))
    pairs = pairs_of([(7, "x", responses), (8, "y", responses[:1])])
    assert (pairs.lead.tolist(), pairs.odds.tolist(), pairs.longer.tolist()) == ([1, 5], [2, 5], [6, -3])
    assert (pairs.prompt.tolist(), list(pairs.category)) == ([7, 7], ["x", "x"])
    assert not len(pairs_of([]).lead)
