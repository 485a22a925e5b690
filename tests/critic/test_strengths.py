"""Bradley–Terry strengths against the model that made the comparisons, and against scipy's optimum."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from rlaif.critic.strengths import bradley_terry, laplacian, least_squares, sigmoid


def of_pairs(results, n):
    i, j = (np.array([pair[side] for pair in results], dtype=np.int64) for side in (0, 1))
    return bradley_terry(i, j, np.array(list(results.values()), dtype=float), n)


PAIRS = list(itertools.combinations(range(5), 2))


def test_exact_odds_give_the_strengths_back():
    s = np.array([1.5, -0.5, 0.0, 2.0, -3.0])
    found = of_pairs({(i, j): 1 / (1 + np.exp(s[j] - s[i])) for i, j in PAIRS}, 5).values
    assert found == pytest.approx(s - s.mean(), abs=0.05)


@given(st.lists(st.tuples(st.sampled_from(PAIRS), st.sampled_from([0.0, 0.2, 0.5, 1.0])), min_size=1, max_size=12))
def test_the_optimum_is_the_one_that_a_general_optimiser_finds(comparisons):
    i, j = (np.array([pair[side] for pair, _ in comparisons]) for side in (0, 1))
    p = np.array([won for _, won in comparisons])

    def loss(s):
        x = s[i] - s[j]
        return -(p * -np.logaddexp(0, -x) + (1 - p) * -np.logaddexp(0, x)).sum() + 0.05 * (s**2).sum()

    values, information = bradley_terry(i, j, p, 5, ridge=0.1)
    best = minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-9})
    assert loss(values) <= best.fun + 1e-8
    assert information == pytest.approx(information.T)
    assert np.linalg.eigvalsh(information).min() > 0


def test_one_who_always_wins_is_best_and_finite():
    found = of_pairs({(0, 1): 0.0, (1, 2): 1.0}, 4).values
    assert found.argmax() == 1 and np.isfinite(found).all()
    assert found[3] == pytest.approx(0.0, abs=2.5)


def test_nothing_compared_is_nothing_known():
    assert of_pairs({}, 3).values.tolist() == [0.0, 0.0, 0.0]


def test_the_laplacian_of_one_pair():
    assert laplacian(np.array([0]), np.array([2]), np.array([3.0]), 3).tolist() == [[3, 0, -3], [0, 0, 0], [-3, 0, 3]]
    assert sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


@given(st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_least_squares_of_all_pairs_are_the_mean_leads(ps):
    results = dict(zip(PAIRS, ps, strict=True))
    leads = np.zeros(5)
    for (i, j), p in results.items():
        leads[i] += p - 0.5
        leads[j] -= p - 0.5
    assert least_squares(results, 5, ridge=0.0 + 1e-9).values == pytest.approx(leads / 5, abs=1e-6)


def test_least_squares_make_up_for_who_was_met():
    """2 beats 1 narrowly and 1 beats 0 widely; 3 only loses to 0: its lead over nobody must not place it above 0."""
    found = least_squares({(1, 2): 0.45, (0, 1): 0.2, (0, 3): 0.6}, 4).values
    assert found.argsort().tolist() == [3, 0, 1, 2]
    assert found[1] - found[0] == pytest.approx(0.3, abs=0.01)
