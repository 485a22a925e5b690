"""Agreement between people, against the definition, a published example, and simulation."""

import math
import random

import pytest

from rlaif.evaluate.annotators import alpha, by_two, more_to_halve, reach
from tests.reference import statistics

_: int | None = None
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
"""Four observers, twelve units: Krippendorff 2011, section C; nominal α is .743."""


def units(table):
    return [[value for value in unit if value is not None] for unit in zip(*table, strict=True)]


def test_the_published_example():
    assert alpha(units(KRIPPENDORFF)) == pytest.approx(0.743, abs=5e-4)


def test_alpha_is_one_for_agreement_and_unknown_where_nothing_varies():
    assert alpha([[1, 1], [0, 0], [0.5, 0.5, 0.5], [1]]) == 1.0
    assert math.isnan(alpha([[1, 1], [1, 1]])) and math.isnan(alpha([[1], [0]])) and math.isnan(alpha([]))


def test_answers_at_random_agree_as_by_chance():
    draw = random.Random(0)
    asked = [{name: draw.choice([0.0, 0.5, 1.0]) for name in "abc"} for _ in range(3000)]
    assert abs(alpha(by.values() for by in asked)) < 0.03
    assert all(abs(both.kappa) < 0.05 for both in by_two(asked))


def test_kappa_is_cohens_of_both_orientations():
    draw = random.Random(1)
    votes = [draw.choice([0.0, 0.5, 1.0, 1.0]) for _ in range(60)]
    asked = [{"a": vote, "b": draw.choice([vote, vote, 1.0]), "c": vote} for vote in votes]
    asked += [{"a": 1.0}, {}]
    (ab, ac, bc) = by_two(asked)
    words = {0.0: "worse", 0.5: "tie", 1.0: "better"}
    both = [(by["a"], by["b"]) for by in asked if "b" in by]
    both += [(1 - one, 1 - other) for one, other in both]
    assert ab.kappa == pytest.approx(statistics.kappa(*([words[vote] for vote in votes] for votes in zip(*both, strict=True))))
    assert (ab.first, ab.second, ab.questions) == ("a", "b", 60) and ac.kappa == ac.same == 1.0 and bc.kappa == ab.kappa
    assert math.isnan(by_two([{"a": 0.5, "b": 0.5}])[0].kappa)


@pytest.mark.parametrize(("share", "n"), [(0.5, 10), (0.9, 40), (1.0, 25), (0.0, 3), (0.7, 0)])
def test_so_many_more_halve_the_interval_and_one_less_does_not(share, n):
    more = more_to_halve(share, n)
    assert reach(share, n + more) <= reach(share, n) / 2 < reach(share, n + more - 1)
    assert n == 0 or 0.5 * n < more < 10 * n
