"""What ``benchmarks/feedback.py`` measured of the ways of asking, as tables and the sentences that follow from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.feedback_ways import Asked, Verdicts, Way
from benchmarks.lab_grid import WEIGHTS, table
from rlaif.data.records import OVERALL
from rlaif.evaluate.calibration import ece, reliability

NONE = "–"
Right = Mapping[tuple[int, str], float]
"""By source row and principle, whether the verdict is gold's: 1 or 0, or the mean of both runs."""


class Estimate(NamedTuple):
    """A mean and half the width of its 95% interval."""

    value: float
    half: float

    def shown(self, form: str) -> str:
        return NONE if math.isnan(self.value) else f"{self.value:{form}} ± {self.half:.3f}"


class Change(NamedTuple):
    """What an option does to agreement with gold, by principle and in all."""

    name: str
    principles: Estimate
    overall: Estimate

    @property
    def helps(self) -> bool:
        return any(one.value > one.half for one in self[1:]) and not self.hurts

    @property
    def hurts(self) -> bool:
        return any(one.value < -one.half for one in self[1:])


def right(asked: Asked) -> Right:
    """An undecided verdict, p of ½, is not right."""
    found: dict[tuple[int, str], list[float]] = {}
    for run in asked.runs:
        for key, p in run.items():
            found.setdefault(key, []).append(float(p > 0.5))
    return {key: sum(values) / len(values) for key, values in found.items()}


def mean(values: Right) -> Estimate:
    """Over verdicts, those of one source row taken together: they are about the same two responses.

    The ratio estimator Σ yᵣ / Σ nᵣ with variance Σ (yᵣ − mean · nᵣ)² / (Σ nᵣ)², over rows r (Cochran 1977, §6.4).
    """
    by_row: dict[int, list[float]] = {}
    for (row, _), value in values.items():
        by_row.setdefault(row, []).append(value)
    if not by_row:
        return Estimate(math.nan, math.nan)
    n = len(values)
    found = sum(values.values()) / n
    spread = sum((sum(some) - found * len(some)) ** 2 for some in by_row.values())
    return Estimate(found, 1.96 * math.sqrt(spread) / n)


def part(values: Right, names: Iterable[str]) -> Right:
    kept = set(names)
    return {key: value for key, value in values.items() if key[1] in kept}


def change(name: str, after: Right, before: Right) -> Change:
    """The mean difference where both have a verdict."""
    apart = {key: after[key] - before[key] for key in after.keys() & before.keys()}
    return Change(name, mean(part(apart, WEIGHTS)), mean(part(apart, [OVERALL])))


def ways_table(ways: Sequence[Way], found: Mapping[str, Asked]) -> str:
    lines = []
    for way in ways:
        asked, rights = found[way.name], right(found[way.name])
        lines.append(
            [
                way.name,
                f"`{way.flags}`",
                str(asked.pairs),
                f"{asked.calls:.3g}",
                f"{asked.failed:.1%}",
                mean(part(rights, WEIGHTS)).shown(".3f"),
                mean(part(rights, [OVERALL])).shown(".3f"),
                _ece(asked.runs),
            ]
        )
    return table(["", "flags", "pairs", "calls a pair", "failed", "by principle", "in all", "ECE"], lines)


def principles_table(ways: Sequence[Way], found: Mapping[str, Asked]) -> str:
    lines = []
    for way in ways:
        rights = right(found[way.name])
        means = [mean(part(rights, [name])).value for name in WEIGHTS]
        lines.append([way.name, *(NONE if math.isnan(value) else f"{value:.3f}" for value in means)])
    return table(["", *WEIGHTS], lines)


def changes_table(changes: Iterable[Change]) -> str:
    lines = [[one.name, one.principles.shown("+.3f"), one.overall.shown("+.3f")] for one in changes]
    return table(["", "by principle", "in all"], lines)


def sentences(changes: Sequence[Change]) -> str:
    """What helped, what did not, what hurt, by the intervals; and what gave no verdict."""
    found: dict[str, list[str]] = {"Helped": [], "Did not help": [], "Hurt": [], "Gave no verdict": []}
    for one in changes:
        silent = math.isnan(one.principles.value) and math.isnan(one.overall.value)
        word = "Gave no verdict" if silent else "Hurt" if one.hurts else "Helped" if one.helps else "Did not help"
        found[word].append(one.name)
    return "\n\n".join(f"**{word}**: {'; '.join(names)}." for word, names in found.items() if names)


def _ece(runs: Sequence[Verdicts]) -> str:
    p = np.array([p for run in runs for p in part(run, WEIGHTS).values()])
    return f"{ece(reliability(p, np.ones_like(p))):.3f}" if len(p) else NONE
