import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rlaif.evaluate.agreement import accuracy, confusion, correlation, kappa, moments, pairs_in, wilson
from tests.reference import statistics as slow

PAIRS = st.lists(
    st.tuples(st.integers(0, 20).map(lambda n: n / 20), st.sampled_from([-2.0, -0.5, 0.0, 1.0])), min_size=1, max_size=40
)


def sides(values: list[float], middle: float) -> list[str]:
    """Each pair in both orientations."""
    names = ["tie" if value == middle else "first" if value > middle else "second" for value in values]
    return names + [{"first": "second", "second": "first", "tie": "tie"}[name] for name in names]


@given(PAIRS)
def test_accuracy_and_kappa_against_plain_counting(pairs: list[tuple[float, float]]) -> None:
    known = [(p, margin) for p, margin in pairs if margin != 0]
    assume(known)
    p, margin = map(list, zip(*known, strict=True))
    table = confusion(np.array([p for p, _ in pairs]), np.array([margin for _, margin in pairs]))
    assert pairs_in(table) == len(known)
    assert accuracy(table).value == pytest.approx(slow.accuracy(p, margin))
    assert kappa(table) == pytest.approx(slow.kappa(sides(p, 0.5), sides(margin, 0.0)))
    if 0.5 not in p:
        assert kappa(table) == pytest.approx(2 * accuracy(table).value - 1)


@given(PAIRS, st.data())
def test_which_response_stands_first_does_not_matter(pairs: list[tuple[float, float]], data: st.DataObject) -> None:
    p, margin = (np.array(column) for column in zip(*pairs, strict=True))
    swap = np.array(data.draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs))))
    swapped = confusion(np.where(swap, 1 - p, p), np.where(swap, -margin, margin))
    assert (confusion(p, margin) == swapped).all()


def test_missing_verdicts_and_labels_are_left_out() -> None:
    table = confusion(np.array([0.9, np.nan, 0.9, 0.2]), np.array([1.0, 1.0, np.nan, 0.0]))
    assert pairs_in(table) == 1
    assert accuracy(table).value == 1.0


def test_no_data_is_not_a_number() -> None:
    table = confusion(np.array([]), np.array([]))
    assert math.isnan(accuracy(table).value) and math.isnan(kappa(table))


@given(st.integers(1, 500), st.data())
def test_wilson_inverts_the_score_test(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    found = wilson(successes, n)
    low, high = slow.wilson(successes, n, 1.959963984540054)
    assert found.low == pytest.approx(low, abs=1e-9)
    assert found.high == pytest.approx(high, abs=1e-9)
    assert 0 <= found.low <= found.value + 1e-12 and found.value <= found.high + 1e-12 <= 1 + 1e-11


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=3), st.integers(0, 20))
def test_correlation_from_sums_of_parts(points: list[tuple[int, int]], cut: int) -> None:
    x, y = (np.array(column, dtype=float) for column in zip(*points, strict=True))
    found = correlation(moments(x[:cut], y[:cut]) + moments(x[cut:], y[cut:]))
    if x.std() == 0 or y.std() == 0:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(slow.pearson(x.tolist(), y.tolist()), abs=1e-9)
