import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rlaif.rl.monitor.limits import LIMITS, FallRule, Limit, Limits
from rlaif.rl.monitor.monitor import CANDIDATES, Monitor
from rlaif.rl.rollout import Rewards
from tests.rl.monitor.test_peak import healthy, observed, over_optimised
from tests.rl.rewards.rollouts import rollout

WORDS = [f"w{number}" for number in range(400)]


def rewards(values, **columns):
    values = torch.as_tensor(values, dtype=torch.float32)
    columns = {name: torch.as_tensor(each, dtype=torch.float32) for name, each in columns.items()}
    return Rewards(values, ~values.isnan(), columns, {})


def batch(length=20, ended=True, n=8, phrase="", seed=0):
    """n prompts with two varied responses each, ``phrase`` in all of them."""
    rng = np.random.default_rng(seed)
    found = []
    for group in range(n):
        for _ in range(2):
            words = " ".join([*rng.choice(WORDS, length), phrase])
            found.append(replace(rollout(words, group=group), ids=tuple(range(length)), ended=ended))
    return found


SPREAD = [0.0, 1.0] * 8


def told(monitor, step=1, values=SPREAD, waiting=0.0, columns=None, **more):
    return monitor.iteration(step, batch(seed=step, **more), rewards(values, **(columns or {})), 0.1, waiting)


def test_an_ordinary_run_is_not_commented_on():
    monitor = Monitor()
    for step in range(1, 8):
        report = told(monitor, step)
        assert not report.warnings and report.stop is None and report.best is None and not report.keep
    assert report.metrics["monitor_distinct_2"] > 0.9 and report.metrics["monitor_boilerplate"] < 0.01


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("length", {"length": 50}),
        ("length", {"length": 9}),
        ("unended", {"ended": False}),
        ("boilerplate", {"phrase": " ".join(["you are valid valued and cared for"] * 6)}),
        ("saturation", {"values": [1.0] * 15 + [0.99]}),
        ("failures", {"values": [math.nan] * 4 + [0.0, 1.0] * 6}),
        ("waiting", {"waiting": 0.9}),
        ("collapse", {"columns": {"kind": [0.2] * 16}}),
        ("spread", {"columns": {"kind": SPREAD, "spread": [2.0] * 16}}),
    ],
)
def test_each_measure_warns_once_when_it_passes_its_limit(name, wrong):
    monitor, columns = Monitor(), {"kind": [0.5, 0.7] * 8, "spread": [1.0] * 16}
    assert not told(monitor, 1, columns=columns).warnings
    first = told(monitor, 2, **{"columns": columns, **wrong})
    assert [warning.split()[0] for warning in first.warnings if warning.startswith(name)] == [name], first.warnings
    assert not told(monitor, 3, **{"columns": columns, **wrong}).warnings
    assert not told(monitor, 4, columns=columns).warnings
    assert any(warning.startswith(name) for warning in told(monitor, 5, **{"columns": columns, **wrong}).warnings)


def test_a_collapse_names_the_principle():
    monitor = Monitor()
    told(monitor, columns={"kind": SPREAD, "right": SPREAD, "failed": [0.0] * 16})
    report = told(monitor, 2, columns={"kind": [1.0] * 16, "right": [0.0] * 16, "failed": [-9.0] * 16})
    assert report.warnings[0].startswith("collapse 1 (right)")


def test_repeated_samples_are_seen():
    monitor = Monitor()
    told(monitor)
    same = [rollout("always the very same words again", group=at // 2) for at in range(16)]
    report = monitor.iteration(2, same, rewards(SPREAD), 0.1, 0.0)
    assert {warning.split()[0] for warning in report.warnings} >= {"repetition", "self-bleu", "boilerplate"}


def test_a_stop_needs_patience_and_says_why():
    limits = Limits({**LIMITS, "length": Limit(None, 1.5)}, patience=2)
    monitor = Monitor(limits)
    told(monitor)
    assert told(monitor, 2, length=40).stop is None
    assert told(monitor, 3).stop is None  # back within: the count begins again
    assert told(monitor, 4, length=40).stop is None
    assert told(monitor, 5, length=40).stop == "length 2, above 1.5 for 2 times in a row"


def test_what_is_put_back_is_from_before_the_measure_that_ended_the_run():
    """The second judge likes ever longer responses; the run is ended for its length."""
    monitor = Monitor(Limits({**LIMITS, "length": Limit(1.5, 3.0)}, patience=2))
    rollouts = [rollout("x", group=group) for group in range(16)]
    lengths = [20, 20, 21, 25, 35, 50, 70, 70]
    for step, length in enumerate(lengths, 1):
        monitor.heldout(step - 1, 0.0, rollouts, rewards(SPREAD), rewards([step + value for value in SPREAD]))
        report = told(monitor, step, length=length)
    assert report.stop.startswith("length 3.5")
    assert report.best == 4 and report.best in report.keep  # at step 5 it was past the warning already
    again = monitor.heldout(8, 0.0, rollouts, rewards(SPREAD), rewards([9 + value for value in SPREAD]))
    assert again.best == 4


def judged(monitor, second, proxy=None, rule=None):
    """All evaluations [T, N] put to the monitor until it stops; the reports."""
    rollouts = [rollout("x", group=group) for group in range(second.shape[1])]
    proxy = second if proxy is None else proxy
    reports = []
    for step, (one, other) in enumerate(zip(proxy, second, strict=True)):
        reports.append(monitor.heldout(10 * step, (step / 12) ** 2, rollouts, rewards(one), rewards(other)))
        if reports[-1].stop:
            break
    return reports


def test_over_optimisation_is_stopped_and_the_best_policy_is_still_there():
    right = 0
    for seed in range(5):
        reports = judged(Monitor(), observed(over_optimised(37, 12), 0.02, seed))
        assert "the best is past" in reports[-1].stop and f"at step {reports[-1].best}," in reports[-1].stop
        right += abs((reports[-1].best / 120) ** 2 - 1) <= 0.2
        available = {0}
        for number, report in enumerate(reports):
            assert report.keep <= available | {10 * number} and report.best in report.keep and len(report.keep) <= CANDIDATES
            available = set(report.keep)
    assert right >= 4


def test_healthy_runs_are_not_stopped():
    assert sum(bool(judged(Monitor(), observed(healthy(25, 6), 0.02, seed))[-1].stop) for seed in range(5)) <= 1


def test_without_a_second_judge_the_reward_itself_is_watched():
    monitor = Monitor()
    rollouts = [rollout("x", group=group) for group in range(64)]
    for step, row in enumerate(observed(over_optimised(37, 6), 0.01, 0)):
        report = monitor.heldout(step, 0.0, rollouts, rewards(row))
        if report.stop:
            break
    assert "held-out reward" in report.stop


def test_samples_of_one_prompt_count_once():
    values = observed(over_optimised(37, 12), 0.03, 1)
    single, double = Monitor(), Monitor()
    once = judged(single, values)
    rollouts = [rollout("x", group=group) for group in range(values.shape[1]) for _ in range(4)]
    for step, row in enumerate(values[: len(once)]):
        again = double.heldout(10 * step, 0.0, rollouts, rewards(np.repeat(row, 4)), rewards(np.repeat(row, 4)))
    assert again.metrics["monitor_fall_z"] == pytest.approx(once[-1].metrics["monitor_fall_z"])


def test_the_second_judges_principles_are_watched():
    monitor = Monitor()
    rollouts = [rollout("x", group=group) for group in range(16)]
    monitor.heldout(0, 0.0, rollouts, rewards(SPREAD), rewards(SPREAD, correct=SPREAD))
    report = monitor.heldout(10, 0.1, rollouts, rewards(SPREAD), rewards(SPREAD, correct=[0.0] * 15 + [1.0]))
    assert report.warnings[0].startswith("second-collapse 0.875 (correct)")


def test_beta_is_raised_while_the_second_judge_does_not_keep_up():
    monitor, n = Monitor(Limits(fall=FallRule(window=2))), 32
    base = np.linspace(-1, 1, n)
    proxy = np.stack([base + step for step in range(12)])
    second = np.stack([base + (step if step < 5 else 5) for step in range(12)])
    second[10:] = base + 9
    factors = [report.beta_factor for report in judged(monitor, second, proxy)]
    assert factors[:7] == [1.0] * 7 and factors[9] > factors[8] > 1
    assert factors[11] < factors[9]
    raised = Monitor(Limits(fall=FallRule(window=2)))
    judged(raised, second[:10], proxy[:10])
    resumed = Monitor(Limits(fall=FallRule(window=2)))
    resumed.load_state_dict(raised.state_dict())
    assert told(resumed).beta_factor == factors[9] > 1


def test_a_saved_monitor_goes_on_as_if_nothing_had_happened():
    values = observed(over_optimised(37, 12), 0.02, 3)
    straight = judged(Monitor(), values)
    first, rollouts = Monitor(), [rollout("x", group=group) for group in range(values.shape[1])]
    told(first, 1)
    told(first, 2, length=90)
    for step in range(15):
        first.heldout(10 * step, (step / 12) ** 2, rollouts, rewards(values[step]), rewards(values[step]))
    second = Monitor()
    second.load_state_dict(first.state_dict())
    for step in range(15, len(straight)):
        report = second.heldout(10 * step, (step / 12) ** 2, rollouts, rewards(values[step]), rewards(values[step]))
    assert report == straight[-1] and first.state_dict()["kept"] and 140 in first.state_dict()["kept"]
    assert told(second, 3, length=90) == told(first, 3, length=90)
    assert second.state_dict()["baseline"] == first.state_dict()["baseline"]


def test_missing_rewards_are_nowhere_counted_as_zero():
    whole, holes = Monitor(), Monitor()
    values = torch.tensor([0.4, 0.6] * 8)
    with_holes = values.clone()
    with_holes[::4] = math.nan
    for monitor, some in ((whole, values), (holes, with_holes)):
        rollouts = [rollout("x", group=at // 2) for at in range(16)]
        monitor.heldout(0, 0.0, rollouts, rewards(values, kind=values), rewards(values, kind=values))
        report = monitor.heldout(1, 0.0, rollouts, rewards(some, kind=some), rewards(some, kind=some))
        assert abs(report.metrics["monitor_second_collapse"]) < 0.5
        assert report.metrics["monitor_smoothed"] == pytest.approx(0.5, abs=0.06)


def test_a_policy_that_never_ends_is_warned_of_from_the_start():
    """Nothing has changed since the baseline; what is wrong was wrong before the run began."""
    report = told(Monitor(), 1, ended=False)
    assert [warning.split()[0] for warning in report.warnings] == ["cut"] and report.stop is None


def test_a_peak_without_a_known_kl_is_told_without_one():
    values = np.concatenate([np.linspace(0, 1, 12), np.linspace(1, -2, 12)])[:, None] + np.zeros(16)
    monitor, rollouts = Monitor(), [rollout("x", group=group) for group in range(16)]
    noise = np.random.default_rng(0).normal(0, 0.05, values.shape)
    stops = [monitor.heldout(step, math.nan, rollouts, rewards(row)).stop for step, row in enumerate(values + noise)]
    told_of = next(stop for stop in stops if stop)
    assert "the best is past" in told_of and "KL" not in told_of and "nan" not in told_of
