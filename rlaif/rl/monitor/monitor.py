"""Watches a run for the ways in which it goes wrong while its reward goes up. It reports; the loop acts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from rlaif.rl.monitor.limits import Limits
from rlaif.rl.monitor.peak import Fall, Floats, fall, smoothed
from rlaif.rl.monitor.texts import boilerplate, distinct, self_bleu
from rlaif.rl.rewards.tally import SPREAD, failure_rate, of_kind, values_of
from rlaif.rl.rollout import Rewards, Rollout

TEXTS = 256
"""Responses that the measures of texts look at, evenly spaced: what bounds their time."""
CANDIDATES = 6
"""Evaluated policies that are kept: the newest, and those where the smoothed curve is highest."""
LEAST_STD = 0.05
"""Below this a principle's baseline deviation says more about the sample than about the principle."""
KEEPS_UP, BETA_STEP, BETA_MOST = 0.25, 1.5, 100.0


class Report(NamedTuple):
    """metrics: to be logged. warnings: limits newly passed. stop: why the run must end, None where it may go on.

    After a held-out evaluation, and when the run must end, keep: steps whose evaluated policies are worth keeping, the newest
    included; best: the best of these as it seems now. beta_factor: what a dynamic KL penalty is multiplied by, at least 1.
    """

    metrics: dict[str, float]
    warnings: tuple[str, ...] = ()
    stop: str | None = None
    best: int | None = None
    keep: frozenset[int] = frozenset()
    beta_factor: float = 1.0


class Monitor:
    """``iteration`` is called with the rollouts that each iteration learns from, ``heldout`` with those of fixed prompts,
    first before any update. The measures and their limits are those of ``limits.LIMITS``."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._baseline: dict[str, float] = {}
        self._over: dict[str, int] = {}
        self._since: dict[str, int] = {}
        self._before: int | None = None
        self._steps: list[int] = []
        self._kl: list[float] = []
        self._proxy: list[list[float]] = []
        self._second: list[list[float]] = []
        self._kept: list[int] = []
        self._beta_factor = 1.0

    def iteration(self, step: int, rollouts: Sequence[Rollout], rewards: Rewards, kl: float, waiting: float) -> Report:
        """kl: mean over responses of the summed log-ratio to the reference policy. waiting: share of the time, in [0, 1]."""
        sampled = rollouts[:: math.ceil(len(rollouts) / TEXTS)]
        texts, prompts = [rollout.text.split() for rollout in sampled], [rollout.query.group for rollout in sampled]
        now = {
            "length": _mean([len(rollout.ids) for rollout in rollouts]),
            "ended": _mean([rollout.ended for rollout in rollouts]),
            "distinct_1": distinct(texts, 1),
            "distinct_2": distinct(texts, 2),
            "self_bleu": self_bleu(texts),
            "boilerplate": boilerplate(texts, prompts),
            "reward_std": _std(rewards.values),
            "spread": _level(_spread(rewards.columns)),
        }
        first = {name: self._first(name, value) for name, value in now.items()}
        worst, lost = self._collapse("train", rewards.columns)
        measures = {
            "length": max(_ratio(now["length"], first["length"]), _ratio(first["length"], now["length"])),
            "unended": first["ended"] - now["ended"],
            "cut": 1 - now["ended"],
            "repetition": 1 - _ratio(now["distinct_2"], first["distinct_2"]),
            "self-bleu": now["self_bleu"],
            "boilerplate": now["boilerplate"] - first["boilerplate"],
            "saturation": 1 - _ratio(now["reward_std"], first["reward_std"]),
            "collapse": lost,
            "spread": _ratio(now["spread"], first["spread"]),
            "failures": failure_rate(rewards),
            "waiting": waiting,
        }
        warnings, stop = self._check(step, measures, {"collapse": worst})
        best, keep = self._candidates(smoothed(np.array(self._second))) if stop and self._steps else (None, frozenset())
        shown = {name: now[name] for name in ("distinct_1", "distinct_2", "self_bleu", "boilerplate", "spread")}
        metrics = _metrics(shown | {name: measures[name] for name in ("repetition", "saturation", "collapse")})
        return Report(metrics, warnings, stop, best, keep, self._beta_factor)

    def heldout(
        self, step: int, kl: float, rollouts: Sequence[Rollout], proxy: Rewards, second: Rewards | None = None
    ) -> Report:
        """proxy: the reward that is trained on; second: another judge's; both of the same rollouts, of the same prompts in the
        same order each time. Without a second judge the proxy is watched, which only sees a run that breaks down."""
        prompts = [rollout.query.group for rollout in rollouts]
        self._steps.append(step)
        self._kl.append(kl)
        self._proxy.append(_by_prompt(proxy.values, prompts))
        self._second.append(_by_prompt((second or proxy).values, prompts))
        rule, values = self._limits.fall, np.array(self._second)
        fallen = fall(values, rule.window)
        worst, lost = self._collapse("second", second.columns if second else {})
        gap = self._gap()
        warnings, stop = self._check(step, {"second-collapse": lost}, {"second-collapse": worst})
        curve = smoothed(values)
        best, keep = self._candidates(curve)
        certain = fallen is not None and fallen.z > rule.z and fallen.share > rule.share
        self._over["fall"] = self._over.get("fall", 0) + 1 if certain else 0
        if self._over["fall"] >= rule.times and stop is None and fallen is not None:
            stop = self._past_its_best("second judge" if second else "held-out reward", fallen, self._steps.index(best))
        elif self._over["fall"] == 1 and fallen is not None:
            warnings = (*warnings, f"held-out prompts: {fallen.z:.1f} standard errors below the best")
        shown = {f"fall_{name}": value for name, value in (fallen._asdict() if fallen else {}).items()}
        more = {
            "smoothed": float(curve[-1]),
            "best_step": float(best),
            "second_collapse": lost,
            "gap": gap,
            "beta_factor": self._beta_factor,
        }
        return Report(_metrics(shown | more), warnings, stop, best, keep, self._beta_factor)

    def state_dict(self) -> dict[str, Any]:
        """Plain data; what the next report depends on."""
        return {
            "baseline": dict(self._baseline),
            "over": dict(self._over),
            "since": dict(self._since),
            "before": self._before,
            "steps": list(self._steps),
            "kl": list(self._kl),
            "kept": list(self._kept),
            "proxy": [list(row) for row in self._proxy],
            "second": [list(row) for row in self._second],
            "beta_factor": self._beta_factor,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._baseline, self._over, self._since = dict(state["baseline"]), dict(state["over"]), dict(state["since"])
        self._before = state["before"]
        self._steps, self._kl, self._kept = list(state["steps"]), list(state["kl"]), list(state["kept"])
        self._beta_factor = state["beta_factor"]
        self._proxy, self._second = ([list(row) for row in state[name]] for name in ("proxy", "second"))

    def _first(self, name: str, value: float) -> float:
        """The first value that was known under this name."""
        if not math.isnan(value):
            self._baseline.setdefault(name, value)
        return self._baseline.get(name, math.nan)

    def _collapse(self, where: str, columns: Mapping[str, Tensor]) -> tuple[str, float]:
        """The principle that has lost most, and how much, in standard deviations of its first values."""
        worst, most = "", math.nan
        for name, values in values_of(columns):
            std = max(self._first(f"{where} std {name}", _std(values)), LEAST_STD)
            lost = (self._first(f"{where} mean {name}", _level(values)) - _level(values)) / std
            if not lost <= most and not math.isnan(lost):
                worst, most = name, lost
        return worst, most

    def _check(self, step: int, measures: Mapping[str, float], about: Mapping[str, str]) -> tuple[tuple[str, ...], str | None]:
        """What to say of measures that are past their limits; each warning once, until the measure is back within."""
        warnings, stop = [], None
        for name, value in measures.items():
            limit = self._limits.limits[name]
            measured = f"{name} {value:.3g}{f' ({about[name]})' if about.get(name) else ''}"
            self._over[name] = self._over.get(name, 0) + 1 if limit.stop is not None and value > limit.stop else 0
            if limit.warn is not None and value > limit.warn:
                if name not in self._since:
                    warnings.append(f"{measured}, above {limit.warn:g}")
                self._since.setdefault(name, step)
            else:
                self._since.pop(name, None)
            if self._over[name] >= self._limits.patience and stop is None:
                stop = f"{measured}, above {limit.stop:g} for {self._over[name]} times in a row"
                self._before = self._since.get(name, step)
        return tuple(warnings), stop

    def _candidates(self, curve: Floats) -> tuple[int, frozenset[int]]:
        """The best step among those whose policies are still there, and which of them to keep.

        Where a measure ended the run, only what came before its warning counts: a judge may well like what broke the limit.
        """
        kept = {*self._kept, self._steps[-1]}
        height = {step: value for step, value in zip(self._steps, curve.tolist(), strict=True) if step in kept}
        ranked = sorted(height, key=lambda step: -math.inf if math.isnan(height[step]) else height[step], reverse=True)
        self._kept = sorted({*ranked[: CANDIDATES - 1], self._steps[-1]})
        before = [step for step in ranked if self._before is None or step < self._before]
        return before[0] if before else min(kept), frozenset(self._kept)

    def _past_its_best(self, judge: str, fallen: Fall, best: int) -> str:
        apart = f", with a KL of {self._kl[best]:.3g}, which is now {self._kl[-1]:.3g}"
        return (
            f"by the {judge} the best is past, by {fallen.z:.1f} standard errors and {fallen.share:.0%} of the gain; it was at "
            f"step {self._steps[best]}{'' if math.isnan(self._kl[best]) else apart}"
        )

    def _gap(self) -> float:
        """What the second judge gained less than could be expected, over the last window, in its standard deviations.

        At the start, where the two agree to a correlation of r, it can be expected to gain r for every standard deviation that
        the reward gains. Where it gains less than a quarter of that, the gap opens and the KL's coefficient is raised by half;
        where it keeps up, the raise is taken back by as much.
        """
        window = self._limits.fall.window
        if len(self._steps) < 2 * window:
            return math.nan
        gains = []
        for rows in (np.array(self._proxy), np.array(self._second)):
            std = max(float(np.nanstd(rows[0])), 1e-6)
            gains.append(float(np.nanmean(rows[-window:]) - np.nanmean(rows[-2 * window : -window])) / std)
        expected = _correlation(self._proxy[0], self._second[0]) * gains[0]
        opens = expected > 0 and gains[1] < KEEPS_UP * expected
        self._beta_factor = min(self._beta_factor * BETA_STEP, BETA_MOST) if opens else max(1.0, self._beta_factor / BETA_STEP)
        return expected - gains[1]


def _by_prompt(values: Tensor, prompts: Sequence[int]) -> list[float]:
    """Mean of each prompt's samples, in order of appearance: they are not independent of each other."""
    values_of: dict[int, list[float]] = {}
    for prompt, value in zip(prompts, values.tolist(), strict=True):
        values_of.setdefault(prompt, []).append(value)
    return [_mean([value for value in samples if not math.isnan(value)]) for samples in values_of.values()]


def _correlation(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson's r over the prompts that both have a value of; 0 where one of them does not vary."""
    pairs = np.array([first, second])
    pairs = pairs[:, ~np.isnan(pairs).any(0)]
    if pairs.shape[1] < 3 or (pairs.std(1) < 1e-9).any():
        return 0.0
    return float(np.corrcoef(pairs)[0, 1])


def _spread(columns: Mapping[str, Tensor]) -> Tensor:
    """All spreads of ensembles, one after the other."""
    return torch.cat([torch.empty(0), *of_kind(columns, SPREAD)])


def _ratio(value: float, base: float) -> float:
    return value / base if base else math.nan


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _level(values: Tensor) -> float:
    return _mean(values[~values.isnan()].tolist())


def _std(values: Tensor) -> float:
    known = values[~values.isnan()]
    return float(torch.std(known, correction=0)) if len(known) else math.nan


def _metrics(shown: Mapping[str, float]) -> dict[str, float]:
    return {f"monitor_{name}": value for name, value in shown.items() if not math.isnan(value)}
