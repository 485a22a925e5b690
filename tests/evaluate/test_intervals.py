"""Intervals that hold what they say, on simulations whose truth is known, clustered by prompt."""

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm

from rlaif.evaluate.agreement import wilson
from rlaif.evaluate.intervals import correlation, mean_interval, resampled, share, slope

SIMULATIONS = 2000


def covered(simulate, truth):
    """Of ``SIMULATIONS`` intervals, the share that hold the truth."""
    rng = np.random.default_rng(0)
    found = (simulate(rng) for _ in range(SIMULATIONS))
    return sum(interval.low <= truth <= interval.high for interval in found) / SIMULATIONS


@pytest.mark.parametrize(("prompts", "each", "truth"), [(40, 4, 0.7), (80, 1, 0.9), (25, 3, 0.5)])
def test_shares_of_clustered_observations(prompts, each, truth):
    """A prompt's own share is all or nothing half of the time, so that its observations hang together."""

    def simulate(rng):
        own = np.where(rng.random(prompts) < 0.5, rng.random(prompts) < truth, truth)
        right = (rng.random((prompts, each)) < own[:, None]).astype(float)
        return share(right.ravel(), np.arange(prompts).repeat(each))

    assert 0.93 <= covered(simulate, truth) <= 0.97


def test_means_of_fractions_that_are_less_spread_than_ones_and_noughts():
    def simulate(rng):
        return share(rng.beta(8, 2, 50), np.arange(50))

    assert 0.93 <= covered(simulate, 0.8) <= 0.97


def test_shares_of_weighted_strata():
    sizes, shares = np.array([30, 90, 60]), np.array([0.6, 0.8, 0.7])
    weight = np.repeat(1 / (3 * sizes), sizes)

    def simulate(rng):
        return share((rng.random(180) < shares.repeat(sizes)).astype(float), np.arange(180), weight)

    assert 0.93 <= covered(simulate, shares.mean()) <= 0.98  # that the strata's sizes are fixed is not made use of


def test_one_observation_to_a_cluster_is_wilsons_interval():
    right = np.array([1.0] * 7 + [0.0] * 5)
    assert share(right, np.arange(12)) == pytest.approx(wilson(7, 12))
    assert share(np.ones(12), np.arange(12)) == pytest.approx(wilson(12, 12))
    assert share(np.ones(12), np.arange(12) // 3) == pytest.approx(wilson(4, 4, 3.182446), abs=0.06)
    assert np.isnan(share(np.zeros(0), np.zeros(0, np.int64))).all()
    assert share(np.array([1.0, 0.0]), np.zeros(2, np.int64)) == (0.5, 0.0, 1.0)


def test_correlations_of_clustered_differences():
    """x and y share a part, of which the half is the prompt's."""
    prompts, each = 60, 3

    def simulate(rng):
        own, shared = rng.normal(size=prompts).repeat(each), rng.normal(size=prompts * each)
        both = (own + shared) / 2**0.5
        x, y = (both + rng.normal(size=prompts * each) for _ in range(2))
        return correlation(x, y, np.arange(prompts).repeat(each))

    assert 0.93 <= covered(simulate, 0.5) <= 0.97


def test_the_correlation_is_pearsons_of_both_orientations():
    rng = np.random.default_rng(1)
    x, y = rng.normal(1, 1, (2, 30))
    both = np.corrcoef(np.concatenate([x, -x]), np.concatenate([y, -y]))[0, 1]
    assert correlation(x, y, np.arange(30)).value == pytest.approx(both)
    assert correlation(x, 2 * x, np.arange(30)) == pytest.approx((1, 1, 1))
    assert np.isnan(correlation(x, 0 * x, np.arange(30)).value)


def test_slopes_of_clustered_leads():
    """A model that is twice too sure: σ(lead / 2) is what happens. A prompt's leads are alike."""
    prompts, each = 80, 2

    def simulate(rng):
        size = np.abs(rng.normal(0, 2, prompts)).repeat(each)
        right = rng.random(prompts * each) < 1 / (1 + np.exp(-size / 2))
        return slope(np.where(right, size, -size), np.arange(prompts).repeat(each))

    assert 0.93 <= covered(simulate, 0.5) <= 0.97


def test_the_slope_is_where_the_likelihood_is_highest():
    rng = np.random.default_rng(2)
    lead = rng.normal(0.7, 2, 200)
    best = minimize_scalar(lambda beta: np.logaddexp(0, -beta * lead).sum(), bounds=(-3, 3), method="bounded").x
    assert slope(lead, np.arange(200)).value == pytest.approx(best, abs=1e-5)
    assert slope(lead * 100, np.arange(200)).value == pytest.approx(best / 100, abs=1e-6)
    assert np.isnan(slope(np.abs(lead), np.arange(200)).value)


@pytest.mark.parametrize(("truth", "each"), [(0.5, 1), (0.62, 3)])
def test_resampled_means_of_clustered_values(truth, each):
    """A prompt's own mean is drawn around the truth, its values around that."""
    prompts = 60

    def simulate(rng):
        own = np.clip(truth + rng.normal(0, 0.12, prompts), 0, 1).repeat(each)
        values = np.clip(own + rng.normal(0, 0.1, prompts * each), 0, 1)
        weights = resampled(np.arange(prompts).repeat(each), 400, int(rng.integers(2**31)))
        return mean_interval(values, weights, prompts)

    assert 0.93 <= covered(simulate, truth) <= 0.97


def test_the_interval_of_a_mean_is_as_wide_as_the_normal_one_for_many_clusters():
    rng = np.random.default_rng(3)
    values = rng.random(3000)
    interval = mean_interval(values, resampled(np.arange(3000), 2000, 0), 3000)
    expected = 2 * norm.ppf(0.975) * values.std() / 3000**0.5
    assert interval.high - interval.low == pytest.approx(expected, rel=0.05)
