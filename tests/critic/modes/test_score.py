"""From a scale's label log-probabilities to a score, and from two scores to a preference."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.critic.modes.score import p_better, score
from rlaif.critic.verdict import Failure, FailureReason
from rlaif.engines.base import Choice

DISTRIBUTION = st.lists(st.floats(0.01, 1), min_size=5, max_size=5).map(lambda ws: [w / sum(ws) for w in ws])


def answer(distribution, mass=1.0):
    return Choice(tuple(math.log(p * mass) if p else -math.inf for p in distribution), mass, "5", 10)


@pytest.mark.parametrize(("label", "expected"), [(0, -1.0), (4, 0.0), (8, 1.0), (2, -0.5)])
def test_certain_labels_map_to_even_steps(label, expected):
    assert score(answer([float(i == label) for i in range(9)])).score == pytest.approx(expected)


def test_ten_labels_use_the_published_map():
    # s = (e - 5.5) / 4.5 for labels 1 to 10.
    assert score(answer([0, 0, 0, 0, 0, 0, 0.5, 0, 0, 0.5])).score == pytest.approx((8.5 - 5.5) / 4.5)


@given(DISTRIBUTION, st.floats(0.2, 1))
def test_mass_off_the_scale_does_not_move_the_score(distribution, mass):
    assert score(answer(distribution, mass)).score == pytest.approx(score(answer(distribution)).score)


def test_low_mass_is_a_failure():
    assert score(answer([0.5, 0.5], mass=0.01)).reason is FailureReason.LABEL_MASS_LOW
    assert score(Failure(FailureReason.TOO_LONG)) == Failure(FailureReason.TOO_LONG)


@given(DISTRIBUTION, DISTRIBUTION)
def test_preference_between_two_scores_agrees_with_enumeration(first, second):
    expected = sum(
        p * q * (1.0 if i > j else 0.5 if i == j else 0.0)
        for (i, p), (j, q) in itertools.product(enumerate(first), enumerate(second))
    )
    assert p_better(first, second) == pytest.approx(expected)
    assert p_better(first, second) == pytest.approx(1 - p_better(second, first))
