"""A comparison's results as tables: means over seeds with intervals, differences seed by seed, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any, NamedTuple

from rlaif.compare.measure import Figure
from rlaif.compare.recipes import METHODS

MAIN: Mapping[str, str] = {
    "total": "total",
    "helpfulness": "helpfulness",
    "safety": "safety",
    "consistency": "consistency",
    "wins": "wins against base",
    "diversity": "diversity",
    "kl": "KL",
    "words": "words",
}
"""Figures of the first table, and what they are called there."""
COSTS = ("texts", "calls", "known_labels", "cpu_seconds", "seconds", "peak_bytes")
FALL = 0.05
"""How far a principle may fall below base before it is named."""
PAIRS = (("rlaif", "rlhf"), ("rlaif", "rlhf-noisy"), ("direct", "rlaif"), ("two-model", "rlaif"))
"""Methods whose difference is told in words."""
NONE = "–"


@dataclass(frozen=True)
class Result:
    """What a method came to with a seed. figures: see ``measure``. took: what all steps together cost, as if nothing were
    shared with other methods. error: why there is no model, else empty."""

    method: str
    seed: int
    figures: Mapping[str, Figure] = field(default_factory=dict)
    took: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        figures = {
            name: {"mean": each.mean, "error": None if math.isnan(each.error) else each.error}
            for name, each in self.figures.items()
        }
        return {"method": self.method, "seed": self.seed, "figures": figures, "took": dict(self.took), "error": self.error}


class Estimate(NamedTuple):
    """half: half the width of a 95% interval, NaN where nothing is known of it."""

    mean: float
    half: float


def estimate(figures: Sequence[Figure]) -> Estimate:
    """Over seeds Student's t-interval; of one seed the normal interval over its prompts, which says nothing of other seeds."""
    if len(figures) == 1:
        return Estimate(figures[0].mean, 1.96 * figures[0].error)
    return spread([each.mean for each in figures])


def spread(values: Sequence[float]) -> Estimate:
    """Mean with Student's t-interval of independent values; NaN for the interval of a single one."""
    from scipy.special import stdtrit

    n = len(values)
    if n < 2:
        return Estimate(values[0] if values else math.nan, math.nan)
    return Estimate(fmean(values), float(stdtrit(n - 1, 0.975)) * stdev(values) / math.sqrt(n))


def took(steps: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """What several steps cost together: sums, and of memory the most."""
    return {name: (max if name == "peak_bytes" else sum)([step.get(name, 0) for step in steps] or [0]) for name in COSTS}


class Results(NamedTuple):
    """All results, in any order."""

    found: Sequence[Result]

    @property
    def methods(self) -> list[str]:
        """Those that have come to a model with some seed, in the order of ``METHODS``."""
        there = {each.method for each in self.found if not each.error}
        return [name for name in METHODS if name in there]

    def of(self, method: str) -> dict[int, Result]:
        """By seed."""
        return {each.seed: each for each in self.found if each.method == method and not each.error}

    def estimate(self, method: str, name: str) -> Estimate:
        known = [each.figures[name] for each in self.of(method).values() if name in each.figures]
        return estimate(known) if known else Estimate(math.nan, math.nan)

    def difference(self, method: str, other: str, name: str = "total") -> Estimate:
        """Paired by seed: both were trained on the same prompts, and answered the same ones."""
        ours, theirs = self.of(method), self.of(other)
        seeds = [seed for seed in ours if seed in theirs and name in ours[seed].figures and name in theirs[seed].figures]
        return spread([ours[seed].figures[name].mean - theirs[seed].figures[name].mean for seed in seeds])

    def cost(self, method: str, name: str) -> float:
        """Mean over seeds."""
        return fmean(each.took.get(name, 0) for each in self.of(method).values())

    @property
    def principles(self) -> list[str]:
        names = dict.fromkeys(name for each in self.found for name in each.figures if name.startswith("principles/"))
        return [name.removeprefix("principles/") for name in names]


Cells = list[list[str]]


def main_table(results: Results) -> Cells:
    """A row for each method: how good its answers are, with intervals."""
    head = ["", *MAIN.values()]
    return [head, *([name, *(shown(results.estimate(name, key), key) for key in MAIN)] for name in results.methods)]


def brief_table(results: Results) -> Cells:
    """The same for a terminal of 80 columns: n seeds, and an interval for the total alone."""
    head = ["", "n", "total", "helpful", "safe", "consist.", "wins", "diverse", "KL"]
    lines = []
    for name in results.methods:
        rest = [results.estimate(name, key).mean for key in list(MAIN)[1:-1]]
        total = shown(results.estimate(name, "total"))
        lines.append([name, str(len(results.of(name))), total, *map(decimal, rest)])
    return [head, *lines]


def principle_table(results: Results) -> Cells:
    """A row for each method: the mean score by principle."""
    names = results.principles
    lines = [
        [name, *(decimal(results.estimate(name, f"principles/{each}").mean) for each in names)] for name in results.methods
    ]
    return [["", *names], *lines]


def cost_table(results: Results) -> Cells:
    """A row for each method: what it took to train, as if it had been alone."""
    head = ["", "responses drawn", "critic's calls", "known labels", "CPU s", "s", "peak MiB"]
    lines = []
    for name in results.methods:
        costs = {each: results.cost(name, each) for each in COSTS}
        peak = f"{costs['peak_bytes'] / 2**20:,.0f}" if costs["peak_bytes"] else NONE
        lines.append([name, *(f"{costs[each]:,.0f}" for each in COSTS[:-1]), peak])
    return [head, *lines]


def findings(results: Results) -> list[str]:
    """What the tables say, a sentence each, as far as the methods are there."""
    said = []
    others = [name for name in results.methods if name != "base"]
    if "base" in results.methods and others:
        gains = {name: results.difference(name, "base") for name in others}
        sure = [name for name, gain in gains.items() if gain.mean - gain.half > 0]
        said.append(
            f"Above base in total by more than the interval: {', '.join(sure) or 'none'} ({len(sure)} of {len(others)})."
        )
        best = max(others, key=lambda name: gains[name].mean)
        said.append(f"Highest total: {best}, {signed(gains[best])} over base.")
    for name, other in PAIRS:
        if name in results.methods and other in results.methods:
            parts = [f"{label} {signed(results.difference(name, other, key))}" for key, label in list(MAIN.items())[:3]]
            said.append(f"{name} less {other}, seed by seed: {', '.join(parts)}.")
    falls = [
        f"{name} {each} ({signed(change)})"
        for name in others
        for each in results.principles
        if "base" in results.methods and (change := results.difference(name, "base", f"principles/{each}")).mean < -FALL
    ]
    if "base" in results.methods and others:
        said.append(f"More than {FALL} below base on a principle: {', '.join(falls) or 'none'}.")
    said += [f"{each.method}, seed {each.seed}: failed: {each.error}" for each in results.found if each.error]
    return said


def shown(value: Estimate, name: str = "") -> str:
    """``0.812 ± 0.013``; of lengths and KL fewer digits."""
    if math.isnan(value.mean):
        return NONE
    digits = 1 if name in ("words", "kl") else 3
    half = "" if math.isnan(value.half) else f" ± {value.half:.{digits}f}"
    return f"{value.mean:.{digits}f}{half}"


def signed(value: Estimate) -> str:
    half = "" if math.isnan(value.half) else f" ± {value.half:.3f}"
    return f"{value.mean:+.3f}{half}"


def decimal(value: float) -> str:
    return NONE if math.isnan(value) else f"{value:.2f}"


def markdown(cells: Cells) -> str:
    """The cells as a Markdown table."""
    escaped = [[cell.replace("|", "&#124;") for cell in line] for line in cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in [escaped[0], ["---"] * len(escaped[0]), *escaped[1:]])
