import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.rl.monitor.limits import FallRule
from rlaif.rl.monitor.peak import fall, smoothed

PROMPTS = 64
RULE = FallRule()


def over_optimised(evaluations, to_peak):
    """Gao et al. 2023: R = d(a − b log d), here with a = b = 1, so that the peak is R = 1 at d = 1; d is √KL."""
    d = np.arange(evaluations) / to_peak
    return np.where(d > 0, d * (1 - np.log(np.maximum(d, 1e-9))), 0)


def healthy(evaluations, to_peak):
    return 1 - np.exp(-2 * np.arange(evaluations) / to_peak)


def observed(curve, noise, seed):
    """[T, N]: each prompt has its own level, and every evaluation of it its own luck; ``noise``: of the mean over prompts."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(0, noise * math.sqrt(PROMPTS), (len(curve), PROMPTS))
    return curve[:, None] + rng.normal(0, 0.5, PROMPTS) + luck


def stops_at(values, rule=RULE):
    """The evaluation at which the rule would end the run, as the monitor applies it."""
    times = 0
    for now in range(1, len(values) + 1):
        found = fall(values[:now], rule.window)
        times = times + 1 if found and found.z > rule.z and found.share > rule.share else 0
        if times == rule.times:
            return now - 1
    return None


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_a_run_past_its_best_is_stopped_and_the_best_is_found(noise):
    right = 0
    for seed in range(24):
        values = observed(over_optimised(37, 12), noise, seed)
        stop = stops_at(values)
        assert stop is not None and stop > 12
        right += abs((np.argmax(smoothed(values[: stop + 1])) / 12) ** 2 - 1) <= 0.2  # of the peak's KL
    assert right >= 21


def test_the_best_is_found_where_the_fall_is_steeper_than_the_rise():
    x = np.arange(40) / 30
    curve = np.where(x < 1, 1 - (1 - x) ** 2, 1 - 6 * (x - 1) ** 2)
    assert abs(int(np.argmax(smoothed(curve[:, None]))) - 30) <= 1


@pytest.mark.parametrize("noise", [0.01, 0.03, 0.05])
def test_a_healthy_run_is_left_alone(noise):
    stopped = [stops_at(observed(healthy(30, 6), noise, seed)) is not None for seed in range(40)]
    assert sum(stopped) <= 2


def test_noise_alone_is_no_fall():
    assert sum(stops_at(observed(np.zeros(30), 0.03, seed)) is not None for seed in range(40)) <= 4


def test_a_fall_is_told_in_standard_errors_and_in_shares_of_the_gain():
    curve = np.array([0.0, 0.5, 1.0, 1.0, 0.9, 0.7])
    exact = np.repeat(curve[:, None], 4, 1)
    found = fall(exact, 2)
    assert found.z == math.inf and found.share == pytest.approx(0.2)
    rising = fall(exact[:4], 2)
    assert rising.z == -math.inf and rising.share < 0
    assert fall(exact[:3], 2) is None


def test_a_window_is_not_compared_with_one_that_shares_its_evaluations():
    found = fall(np.repeat(np.array([[0.0], [0.5], [2.0], [0.0]]), 4, 1), 2)
    assert found.z == -math.inf  # the window in the middle, with the same high point, is no earlier best


def test_the_standard_error_is_over_prompts():
    values = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    drops = np.array([1.0, 2.0, 3.0])
    found = fall(np.delete(values, 1, 0), 1)
    assert found.z == pytest.approx(drops.mean() / (drops.std(ddof=1) / math.sqrt(3)))


@given(st.integers(0, 1000), st.floats(-5, 5), st.floats(0.1, 10))
def test_levels_of_prompts_and_scale_do_not_matter(seed, level, scale):
    values = observed(over_optimised(20, 6), 0.02, seed)
    moved = values * scale + np.linspace(-level, level, PROMPTS)
    assert fall(moved, 3) == pytest.approx(fall(values, 3), rel=1e-6)


def test_missing_values_are_left_out():
    values = observed(over_optimised(20, 6), 0.01, 0)
    holes = values.copy()
    holes[np.random.default_rng(1).random(values.shape) < 0.3] = np.nan
    holes[:, 0] = np.nan
    assert fall(holes, 3).share == pytest.approx(fall(values, 3).share, abs=0.1)
    assert stops_at(holes) is not None


@given(st.integers(5, 30), *[st.floats(-2, 2)] * 4)
def test_a_cubic_is_its_own_smoothing(n, a, b, c, d):
    x = np.arange(n) / n
    curve = a + b * x + c * x * x + d * x**3
    np.testing.assert_allclose(smoothed(np.repeat(curve[:, None], 2, 1)), curve, atol=1e-6)


def test_smoothing_passes_over_evaluations_without_a_value():
    curve = np.repeat(np.linspace(0, 1, 12)[:, None], 3, 1)
    curve[5] = np.nan
    np.testing.assert_allclose(smoothed(curve), np.linspace(0, 1, 12), atol=1e-6)
