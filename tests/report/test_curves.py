import math

import numpy as np
import pytest

from rlaif.report.curves import MOST, OFFLINE, ON_POLICY, Panel, Series, against_kl, gained, metrics_of, panels, series_of
from tests.reference.fake_training import STEPS, entry

METRICS = metrics_of([entry(step) for step in range(STEPS + 1)])


def test_metrics_by_name_with_their_steps():
    steps, values = METRICS["heldout_reward"]
    assert steps == list(range(0, STEPS + 1, 2)) and values == pytest.approx([0.1 * step for step in steps])
    assert METRICS["reward"][0] == list(range(1, STEPS + 1))


def test_what_is_no_figure_is_left_out():
    lines = [{"step": 1, "a": 1.0, "b": "text", "c": True, "d": None}, {"a": 2.0}, {"step": "x", "a": 3.0}]
    assert metrics_of(lines) == {"a": ([1], [1.0])}


def test_a_missing_value_keeps_its_place():
    assert metrics_of([{"step": 1, "a": None}, {"step": 2, "a": 3.0}]) == {"a": ([1, 2], [None, 3.0])}


def test_metrics_are_grouped_and_none_is_lost():
    grouped, others = panels(METRICS, ON_POLICY)
    titles = [panel.title for panel in grouped]
    assert titles[:3] == ["Reward", "Second judge", "KL from the reference policy"] and "Time of a step" in titles
    assert [one.name for one in grouped[0].series] == ["training prompts", "held-out prompts"]
    by_principle = next(panel for panel in grouped if panel.title == "Reward by principle")
    assert [one.name for one in by_principle.series] == ["kind"]
    shown = sum(len(panel.series) for panel in (*grouped, *others))
    assert shown == len(METRICS) and "odd" in [panel.title for panel in others]


def test_a_principle_called_failed_is_a_principle():
    lines = [{"step": step, "kl": 0.1, "reward/failed": 0.0, "reward/principles/failed": 0.1 * step} for step in range(3)]
    (by_principle,) = [panel for panel in panels(metrics_of(lines), ON_POLICY)[0] if panel.title == "Reward by principle"]
    assert [(one.name, one.y[-1]) for one in by_principle.series] == [("failed", 0.2)]


def test_what_does_not_move_is_among_the_others():
    grouped, others = panels(METRICS, ON_POLICY)
    assert "Responses that ended by themselves" in [panel.title for panel in others]
    assert "Responses that ended by themselves" not in [panel.title for panel in grouped]


def test_offline_training_and_held_out_curves_share_a_panel():
    lines = [{"step": 1, "loss": 0.7, "mean_ratio": 1.0}, {"step": 1, "eval_loss": 0.6, "eval_mean_ratio": 2.0}]
    lines += [{"step": 2, "loss": 0.5, "mean_ratio": 3.0}, {"step": 2, "eval_loss": 0.4, "eval_mean_ratio": 4.0}]
    (loss,), (ratio,) = panels(metrics_of(lines), OFFLINE)
    assert [(one.name, one.y) for one in loss.series] == [("training rows", [0.7, 0.5]), ("held-out rows", [0.6, 0.4])]
    assert ratio.title == "mean_ratio" and [one.name for one in ratio.series] == ["training", "held-out"]


def test_long_curves_are_thinned_by_means():
    n = 5 * MOST
    series = series_of("x", range(n), [float(step % 5) for step in range(n)])
    assert len(series.x) == len(series.y) == MOST
    assert set(series.y) == {2.0} and series.x[:2] == [2.0, 7.0]
    gaps = series_of("x", range(n), [None] * (n // 2) + [1.0] * (n // 2))
    assert gaps.y[0] is None and gaps.y[-1] == 1.0


def test_what_was_gained_is_in_standard_deviations_of_the_start():
    d, reward = gained(METRICS, "heldout_second_reward")
    np.testing.assert_allclose(d, [0.1 * step for step in range(0, STEPS + 1, 2)], atol=1e-12)
    np.testing.assert_allclose(reward[1:], 2.0 * d[1:] * (1 - 0.8 * np.log(d[1:])))
    assert gained(METRICS, "nothing") is None and gained({"a": ([1], [1.0])}, "a") is None


def test_the_fitted_curve_finds_the_peak_of_a_known_one():
    panel = against_kl({"second": gained(METRICS, "heldout_second_reward")})
    points, fitted = panel.series
    assert points.style == "dots" and fitted.silent and points.colour == fitted.colour
    assert f"peak at {math.exp(1 / 0.8 - 1):.2g}" in fitted.name
    along = np.array(fitted.x[1:])
    np.testing.assert_allclose(fitted.y[1:], 2.0 * along * (1 - 0.8 * np.log(along)), atol=1e-4)
    assert "no peak yet" in against_kl({"reward": gained(METRICS, "heldout_reward")}).series[1].name


def test_few_points_have_no_fitted_curve():
    metrics = metrics_of([entry(step) for step in (0, 2)])
    assert [one.style for one in against_kl({"a": gained(metrics, "heldout_reward")}).series] == ["dots"]
    assert against_kl({}) is None


def test_a_panel_is_plain_data():
    plain = Panel("t", [Series("s", [1], [2.0])]).plain()
    assert plain["series"] == [{"name": "s", "x": [1], "y": [2.0], "style": "line", "silent": False, "colour": None}]
