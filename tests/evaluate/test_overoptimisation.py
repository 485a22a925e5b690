import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import UsageError
from rlaif.evaluate.overoptimisation import best_of_n_kl, fit
from rlaif.report.plots import gao_plot

D = np.linspace(0, 6, 40)
BY_HAND = {"rl": lambda d, a, b: d * (a - b * np.log(d)) if d > 0 else 0.0, "bon": lambda d, a, b: d * (a - b * d)}


def points(form, a, b, start):
    return np.array([start + BY_HAND[form](d, a, b) for d in D])


@given(st.sampled_from(["rl", "bon"]), st.floats(-3, 3), st.floats(-2, 2), st.floats(-5, 5), st.booleans())
def test_a_curve_is_found_again(form, a, b, start, known):
    curve = fit(D, points(form, a, b, start), form, start if known else None)
    assert (curve.a, curve.b, curve.start) == pytest.approx((a, b, start), abs=1e-6)
    assert curve.residual < 1e-6
    np.testing.assert_allclose(curve.at(D), points(form, a, b, start), atol=1e-6)


@given(st.sampled_from(["rl", "bon"]), st.floats(0.5, 2), st.floats(0.3, 1))
def test_the_peak_is_where_the_curve_is_highest(form, a, b):
    peak = fit(D, points(form, a, b, 0.0), form).peak
    curve = fit(D, points(form, a, b, 0.0), form)
    around = np.linspace(0.5, 1.5, 1001) * peak
    assert np.argmax(curve.at(around)) == 500


def test_a_curve_that_does_not_turn_has_no_peak():
    assert fit(D, D * 2.0).peak == pytest.approx(np.inf) or fit(D, D * 2.0).peak > 1e6
    assert fit(D, points("rl", 1.0, -1.0, 0.0)).peak == np.inf


def test_noise_moves_the_peak_little():
    rng = np.random.default_rng(0)
    peaks = [fit(D, points("rl", 1.0, 0.6, 0.0) + rng.normal(0, 0.02, len(D)), start=0.0).peak for _ in range(50)]
    assert abs(np.mean(peaks) - np.exp(1 / 0.6 - 1)) < 0.05


def test_missing_points_are_left_out():
    reward = points("rl", 1.0, 0.5, 0.0)
    reward[::3] = np.nan
    assert fit(D, reward).a == pytest.approx(1.0)
    with pytest.raises(UsageError, match="1 points are too few"):
        fit(D[:2], reward[:2])
    with pytest.raises(UsageError, match="too few"):
        fit(D, np.full(len(D), np.nan))


@pytest.mark.parametrize(("n", "kl"), [(2, 0.1931), (4, 0.6363), (16, 1.8351), (64, 3.1745), (1000, 5.9088), (60000, 10.0021)])
def test_the_kl_of_best_of_n_is_as_published(n, kl):
    assert best_of_n_kl(n) == pytest.approx(kl, abs=5e-5)


def test_the_plot_shows_each_curve_by_name():
    proxy, gold = points("rl", 1.0, 0.1, 0.0), points("rl", 1.0, 0.6, 0.0)
    svg = gao_plot({"proxy": (D, proxy, fit(D, proxy)), "gold": (D, gold, fit(D, gold))}, [2.0])
    assert svg.startswith("<svg") and all(f">{name}<" in svg for name in ("proxy", "gold"))
