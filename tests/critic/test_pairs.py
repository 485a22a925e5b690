import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.critic.pairs import check_pairs, next_pairs, pairs
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


@pytest.mark.parametrize("bad", ["none", "0", "-1", "1.5", "", "Swiss"])
def test_other_schedules_are_refused(bad):
    with pytest.raises(UsageError, match="--pairs"):
        check_pairs(bad)


def play(schedule, n, p, seed=0):
    """All rounds; p answers a pair. Returns the results and the number of rounds."""
    results, rounds = {}, 0
    while found := next_pairs(schedule, n, results, seed):
        met = [index for pair in found for index in pair]
        assert len(met) == len(set(met)), "nobody plays twice in a round"
        assert not results.keys() & set(found)
        results |= {pair: p(*pair) for pair in found}
        rounds += 1
    return results, rounds


@pytest.mark.parametrize("schedule", ["swiss", "active"])
@given(st.integers(0, 12), st.integers(0, 5), st.randoms())
def test_rounds_compare_at_most_half_of_many_and_end(schedule, n, seed, rng):
    results, rounds = play(schedule, n, lambda i, j: rng.choice([None, 0.0, 0.3, 0.5, 1.0]), seed)
    assert all(0 <= i < j < n for i, j in results)
    assert len(results) == (max(n - 1, n * (n - 1) // 4) if n > 1 else 0)
    assert rounds >= len(results) // max(1, n // 2)


@pytest.mark.parametrize("schedule", ["swiss", "active"])
def test_half_of_the_comparisons_find_the_order_that_all_would_find(schedule):
    """Responses of different strength, and a critic whose p is not quite the same function of the two for every pair."""
    from scipy.stats import kendalltau

    from rlaif.critic.strengths import least_squares

    draw = np.random.default_rng(1)
    found = {name: [] for name in (schedule, "14")}
    for seed in range(120):
        strength = draw.normal(size=8)
        p = {
            (i, j): float(np.clip(0.5 + 0.12 * (strength[i] - strength[j]) + 0.04 * draw.normal(), 0, 1))
            for i, j in itertools.combinations(range(8), 2)
        }
        every = least_squares(p, 8).values
        results, _ = play(schedule, 8, lambda i, j, p=p: p[i, j], seed)
        assert len(results) == 14
        for name, some in ((schedule, results), ("14", {pair: p[pair] for pair in pairs("14", 8, seed)})):
            found[name].append(kendalltau(every, least_squares(some, 8).values)[0])
    assert np.mean(found[schedule]) > 0.9
    assert np.mean(found[schedule]) > np.mean(found["14"])


def test_in_swiss_rounds_those_who_won_meet_once_all_are_connected():
    first = next_pairs("swiss", 8, {})
    results = dict.fromkeys(first, 0.9)
    second = next_pairs("swiss", 8, results)
    partner = {index: pair for pair in first for index in pair}
    assert all(partner[i] != partner[j] for i, j in second)
    results |= dict.fromkeys(second, 0.5)
    winners = {pair[0] for pair in first}
    groups = components(8, results)
    for i, j in next_pairs("swiss", 8, results):
        assert groups[i] != groups[j] or (i in winners) == (j in winners)


@given(st.integers(2, 12), st.integers(0, 3), st.randoms())
def test_swiss_rounds_leave_nobody_unconnected(n, seed, rng):
    results, _ = play("swiss", n, lambda i, j: rng.choice([0.0, 0.3, 0.5, 1.0]), seed)
    assert len(set(components(n, results).values())) == 1


def components(n, pairs):
    """By response, the least of those that a chain of comparisons connects it with."""
    group = {index: index for index in range(n)}
    for _ in range(n):
        for i, j in pairs:
            group[i] = group[j] = min(group[i], group[j])
    return group


def test_other_schedules_have_no_second_round():
    assert next_pairs("all", 5, {}) == []
