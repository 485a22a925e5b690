import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.data.rows import Turn
from rlaif.evaluate.bias import co_moments, cycles, listed, longer, position, redundancy
from tests.reference import statistics as slow

ORDERS = st.lists(st.tuples(st.integers(0, 16), st.integers(0, 16)), max_size=30)


def says(text: str) -> list[Turn]:
    return [Turn(role="assistant", content=text)]


@given(ORDERS)
def test_flips_are_orders_that_disagree(orders: list[tuple[int, int]]) -> None:
    """p_ab, p_ba in sixteenths: probabilities of one response, shown first and shown last."""
    first, last = (np.array([pair[at] / 16 for pair in orders]) for at in (0, 1))
    found = position((first + last) / 2, first - last)
    both_first = sum(a > 8 and b < 8 for a, b in orders)
    both_last = sum(a < 8 and b > 8 for a, b in orders)
    assert (found.asked, found.flips, found.primacy) == (len(orders), both_first + both_last, both_first)
    if orders:
        assert found.mean_gap == pytest.approx(sum(a - b for a, b in orders) / 16 / len(orders))
        assert found.size >= abs(found.gap)


@given(ORDERS)
def test_naming_the_other_response_first_changes_nothing(orders: list[tuple[int, int]]) -> None:
    p = np.array([(a + b) / 32 for a, b in orders])
    gap = np.array([(a - b) / 16 for a, b in orders])
    assert position(p, gap) == position(1 - p, gap)


def test_one_order_tells_nothing_of_position() -> None:
    found = position(np.array([0.9, np.nan]), np.array([np.nan, np.nan]))
    assert found.asked == 0 and math.isnan(found.mean_gap) and math.isnan(found.flip_rate.value)


def test_length_and_lists() -> None:
    assert longer(says("abc"), says("ab")) is True
    assert longer(says("a"), says("ab")) is False
    assert longer(says("ab"), says("ba")) is None
    for text in ("- a\n- b", "intro\n1. a\n2) b", "* a\n\n* b"):
        assert listed(says(text), says("no - list\n-nor this")) is True
        assert listed(says("plain"), says(text)) is False
        assert listed(says(text), says(text)) is None
    assert listed(says("- one item"), says("none")) is None


@given(st.integers(0, 5), st.data())
def test_redundancy_is_the_correlation_over_both_orientations(cut: int, data: st.DataObject) -> None:
    grid = st.sampled_from([0.0, 0.1, 0.5, 0.75, 1.0, math.nan])
    p = np.array(data.draw(st.lists(st.tuples(grid, grid, grid), min_size=6, max_size=12)))
    found = redundancy(co_moments(p[:cut]) + co_moments(p[cut:]))
    for i in range(3):
        for j in range(3):
            both = [(row[i], row[j]) for row in p.tolist() if not math.isnan(row[i]) and not math.isnan(row[j])]
            mirrored = both + [(1 - x, 1 - y) for x, y in both]
            varies = all(any(pair[at] != 0.5 for pair in both) for at in (0, 1))
            if len(both) < 2 or not varies:
                assert math.isnan(found[i, j])
            else:
                assert found[i, j] == pytest.approx(slow.pearson(*zip(*mirrored, strict=True)))


@given(st.integers(3, 6), st.data())
def test_cycles_against_every_order_of_three(n: int, data: st.DataObject) -> None:
    p = {pair: data.draw(st.sampled_from([0.2, 0.5, 0.9])) for pair in itertools.combinations(range(n), 2)}

    def beats(i: int, j: int) -> bool:
        return (p[i, j] if (i, j) in p else 1 - p[j, i]) > 0.5

    found = [0, 0]
    for triple in itertools.combinations(range(n), 3):
        if all(p[pair] != 0.5 for pair in itertools.combinations(triple, 2)):
            found[1] += 1
            found[0] += not any(beats(a, b) and beats(b, c) and beats(a, c) for a, b, c in itertools.permutations(triple))
    assert cycles(p) == tuple(found)
    assert cycles({(j, i): 1 - value for (i, j), value in p.items()}) == tuple(found)
