import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.critic.pairs import check_pairs, pairs
from rlaif.errors import UsageError


@given(st.integers(0, 9), st.sampled_from(["all", "adjacent", "1", "3", "100"]), st.integers())
def test_pairs_are_distinct_ordered_and_in_range(n, schedule, seed):
    found = pairs(schedule, n, seed, "row")
    assert found == sorted(set(found)) == pairs(schedule, n, seed, "row")
    assert all(0 <= i < j < n for i, j in found)
    every = n * (n - 1) // 2
    assert len(found) == {"all": every, "adjacent": max(0, n - 1)}.get(
        schedule, min(every, int("0" + schedule[:3].strip("adjl")))
    )


def test_a_draw_depends_on_the_row():
    assert len({tuple(pairs("2", 6, 0, f"row{i}")) for i in range(20)}) > 5


@pytest.mark.parametrize("bad", ["none", "0", "-1", "1.5", ""])
def test_other_schedules_are_refused(bad):
    with pytest.raises(UsageError, match="--pairs"):
        check_pairs(bad)
