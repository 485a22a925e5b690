"""What ``benchmarks/rl.py`` measured, as a page: tables, a plot, and the sentences that follow from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.lab_grid import WEIGHTS, interval, table
from rlaif.evaluate.overoptimisation import Curve, Floats, fit
from rlaif.report.plots import gao_plot
from rlaif.rl.monitor.peak import smoothed

GOAL, ALLOWED, NEAR = 0.85, 0.0, 0.2
"""The total to reach; how far a principle's mean over seeds may be below base; how near the gold peak's KL a stop must be."""
GOLD_SPAN, KL_SPAN = 0.2, 0.1
"""Share of the run's steps that a smoothed value is fitted to."""
FOUR = ("polite", "harmless", "concise", "evidence")
"""The principles of the total: those of the prototype's."""


class Results(NamedTuple):
    """The grid's results by name, and its seeds."""

    found: Mapping[str, Mapping[str, Any]]
    seeds: Sequence[int]

    def runs(self, row: str) -> list[Mapping[str, Any]]:
        return [self.found[f"{row}-{seed}"] for seed in self.seeds]

    def gold(self, row: str) -> list[Mapping[str, float]]:
        return [run["gold"] for run in self.runs(row)]


class Watched(NamedTuple):
    """One watched run, a value per evaluation of held-out prompts: [T] each. rollouts: gold of what the policy of these steps
    wrote to prompts that it was then trained on, [T − 1] where every step is evaluated. stopped: why the monitor ended it, None
    where it did not. ends: the step of the policy that it ends with."""

    step: Floats
    kl: Floats
    proxy: Floats
    gold: Floats
    rollouts: Floats
    stopped: str | None
    ends: int


def page(results: Results, offline: str, runs: Mapping[str, Any], command: str) -> tuple[str, str]:
    """The Markdown, and the plot as SVG. runs: the rows' settings."""
    over, stopped, healthy = (_watched(results, name) for name in ("over", "stopped", "healthy"))
    rows = [name for name in runs if name not in ("over", "stopped", "healthy")]
    text = f"""# On-policy training of the lab's policy

Written by `{command}`. Gold of {len(results.seeds)} seeds' models on held-out prompts, answered once at temperature 1; prompts,
samples, reward models and test prompts are other ones for each seed. Total: mean of {", ".join(FOUR)}, as the prototype
had it, which plain REINFORCE brought from .58 to .85 while correctness fell from .25 to .07; weighted: mean of all principles
by the weights of `constitutions/lab.yaml`. ±: 95% t-interval over seeds. Bold: below base. KL: from the initial policy, on
held-out prompts, of the model that the run ended with. CPU: minutes of one core, evaluations included. offline: the method
that comes out best in benchmarks/train.md, {offline}, on the pairs that `ppo-model`'s reward model learns from. Settings were
chosen on other prompts and seeds, with one exception: the balanced rows' β and steps were tried one after the other here.

{_table(results, rows)}

{_findings(results, rows)}

## Over-optimisation

Five runs that over-optimise on purpose: a reward model's score plus a verifier that counts citations, however often they are
repeated, and no KL penalty. After every step held-out prompts are answered, and gold (the mean of all principles) is the second
judge. Each run is made twice: to its end, for gold's peak, and with the monitor in charge, which puts a policy back when it
stops; of its rules, only the test for a run past its best is on. The peak is not taken from what the monitor sees: it is where
gold of the *training* rollouts, smoothed, is highest (other prompts, other samples). KL is that of the held-out prompts,
smoothed. Then five healthy runs: the reward model alone, and a KL penalty.
The gamed reward and these runs' settings were designed on other seeds.

{_over_table(over, stopped)}

{_verdict(over, stopped, healthy)}

![Proxy and gold against √KL, with fitted curves](rl.svg)

{_curves(over)}

## Settings

{_settings(runs)}
"""
    return text, _plot(over, stopped)


def _table(results: Results, rows: Sequence[str]) -> str:
    base = _mean(results.gold("base"))
    lines = [_line("base", results.gold("base"), base, "", "")]
    for row in ("offline", *rows):
        runs = results.runs(row)
        kl = statistics.fmean(run["kl"] for run in runs) if row != "offline" else math.nan
        minutes = statistics.fmean(run["cpu_seconds"] for run in runs) / 60
        lines.append(_line(row, results.gold(row), base, "" if math.isnan(kl) else f"{kl:.1f}", f"{minutes:.1f}"))
    return table(["", "total", "weighted", *WEIGHTS, "words", "KL", "CPU"], lines)


def _line(name: str, gold: Sequence[Mapping[str, float]], base: Mapping[str, float], kl: str, minutes: str) -> list[str]:
    mean = _mean(gold)
    middle, half = interval([_four(one) for one in gold])
    marks = {key: "**" if mean[key] < base[key] - ALLOWED else "" for key in WEIGHTS}
    cells = [f"{mark}{mean[key]:.2f}{mark}" for key, mark in marks.items()]
    return [name, f"{middle:.3f} ± {half:.3f}", f"{mean['total']:.3f}", *cells, f"{mean['words']:.1f}", kl, minutes]


def _four(gold: Mapping[str, float]) -> float:
    return statistics.fmean(gold[key] for key in FOUR)


def _findings(results: Results, rows: Sequence[str]) -> str:
    base = _mean(results.gold("base"))
    found = []
    for row in rows:
        mean = _mean(results.gold(row))
        fell = [f"{key} {mean[key] - base[key]:+.2f}" for key in WEIGHTS if mean[key] < base[key] - ALLOWED]
        stops = sum(run["stopped"] is not None for run in results.runs(row))
        reached = "reaches" if _four(mean) >= GOAL else "is below"
        ended = f"; the monitor ended {stops} of {len(results.seeds)} runs" if stops else ""
        found.append(f"- {row}: {reached} {GOAL} ({_four(mean):.3f}); below base: {', '.join(fell) or 'none'}{ended}.")
    return "\n".join(found)


def _watched(results: Results, name: str) -> list[Watched]:
    found = []
    for key in sorted(key for key in results.found if key.startswith(f"{name}-")):
        run = results.found[key]
        columns = ("step", "heldout_kl", "heldout_reward", "heldout_second_reward")
        step, kl, proxy, gold = (np.array([line[part] for line in run["curve"]], float) for part in columns)
        rollouts = np.array(list(run["rollouts"].values()), float)
        found.append(Watched(step, kl, proxy, gold, rollouts, run["stopped"], run["model_of_step"]))
    return found


def _peak(run: Watched) -> int:
    """The step after which gold of the rollouts, smoothed, is highest."""
    return int(np.argmax(smoothed(run.rollouts[:, None], GOLD_SPAN)))


def _kl(run: Watched) -> Floats:
    """KL on held-out prompts, smoothed: that of one evaluation is 10% off by the luck of its samples."""
    return smoothed(run.kl[:, None], KL_SPAN)


def _end(run: Watched) -> int:
    """The evaluation of the policy that the run ends with."""
    return int(np.flatnonzero(run.step == run.ends)[0])


def _over_table(over: Sequence[Watched], stopped: Sequence[Watched]) -> str:
    lines = []
    for seed, (run, monitored) in enumerate(zip(over, stopped, strict=True)):
        peak, end, kl = _peak(run), _end(monitored), _kl(run)
        stop = "not stopped" if monitored.stopped is None else f"{monitored.step[-1]:.0f} ({kl[len(monitored.step) - 1]:.1f})"
        places = [f"{run.step[peak]:.0f} ({kl[peak]:.1f})", stop, f"{monitored.ends} ({kl[end]:.1f})"]
        gold = [f"{value:.3f}" for value in (run.gold[0], run.gold[peak], monitored.gold[end], run.gold[-1])]
        lines.append([str(seed), *places, f"{kl[end] / kl[peak]:.2f}", *gold, monitored.stopped or ""])
    head = ["seed", "gold's peak: step (KL)", "stop: step (KL)", "back to: step (KL)", "its KL / the peak's"]
    return table([*head, "gold at start", "at peak", "back to", "at end without", "why"], lines)


def _verdict(over: Sequence[Watched], stopped: Sequence[Watched], healthy: Sequence[Watched]) -> str:
    pairs = list(zip(over, stopped, strict=True))
    near = sum(one.stopped is not None and abs(_kl(run)[_end(one)] / _kl(run)[_peak(run)] - 1) <= NEAR for run, one in pairs)
    ended, quiet = (sum(one.stopped is not None for one in runs) for runs in (stopped, healthy))
    gained = [f"{statistics.fmean(run.gold[-1] - run.gold[0] for run in runs):+.3f}" for runs in (over, healthy)]
    return f"""Of {len(over)} runs (gold at the end {gained[0]}), the monitor stops {ended}; {near} go back to a policy within
{NEAR:.0%} of the KL of gold's peak. Of {len(healthy)} healthy runs (gold {gained[1]}), it stops {quiet}."""


def _curves(runs: Sequence[Watched]) -> str:
    lines = []
    for seed, run in enumerate(runs):
        curve = fit(np.sqrt(run.kl.clip(0)), run.gold, start=float(run.gold[0]))
        proxy = fit(np.sqrt(run.kl.clip(0)), run.proxy, start=float(run.proxy[0]))
        peak = "none" if math.isinf(curve.peak) else f"{curve.peak**2:.2f}"
        lines.append(
            [str(seed), f"{curve.a:.3f}", f"{curve.b:.3f}", peak, f"{curve.residual:.3f}", f"{proxy.a:.3f}", f"{proxy.b:.3f}"]
        )
    head = ["seed", "gold: a", "b", "KL of its peak", "residual", "proxy: a", "b"]
    return f"R(d) = d (a − b log d), fitted to each run, d = √KL:\n\n{table(head, lines)}"


def _plot(runs: Sequence[Watched], stopped: Sequence[Watched]) -> str:
    """All runs together, each reward as a share of the most that it gained; marks where the monitor went back to."""
    d = np.concatenate([np.sqrt(run.kl.clip(0)) for run in runs])

    def points(name: str) -> tuple[Floats, Floats, Curve]:
        gains = [getattr(run, name) - getattr(run, name)[0] for run in runs]
        gained = np.concatenate([gain / gain.max() for gain in gains])
        return d, gained, fit(d, gained, start=0.0)

    stops = [float(np.sqrt(run.kl[_end(run)].clip(0))) for run in stopped if run.stopped is not None]
    return gao_plot({"proxy (trained on)": points("proxy"), "gold": points("gold")}, stops)


def _settings(runs: Mapping[str, Any]) -> str:
    lines = []
    for name, run in runs.items():
        given = ", ".join(f"{key.replace('_', '-')} {value}" for key, value in {**run.settings, **run.files}.items())
        lines.append([name, run.method, run.reward, given])
    return table(["", "method", "reward", "settings"], lines)


def _mean(gold: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.fmean(one[name] for one in gold) for name in gold[0]}
