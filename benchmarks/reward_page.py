"""What ``benchmarks/reward.py`` measured, as tables and the sentences that follow from them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

from benchmarks.lab_grid import interval, table
from rlaif.train.config import Prediction
from rlaif.train.kinds import Labels

PREDICTIONS: Sequence[Prediction] = get_args(Prediction)
SOURCES = {
    "critic": "lab, both orders",
    "flipped": "the same, a quarter turned around",
    "fallible": "lab:fallible, one order",
}


class Row(NamedTuple):
    """A row of the lab's table. source: of the labels. base: the model that the reward model starts from."""

    source: str
    labels: Labels
    members: int
    base: str = "lab:policy"

    def run(self, seed: int) -> str:
        """The name of its run with this seed."""
        return f"{self.source}-{self.labels}-{self.members}-{self.base.replace(':', '-')}-{seed}"


class Lab(NamedTuple):
    """results: of the runs by name. agreement: of each source's labels with gold."""

    results: Mapping[str, Any]
    agreement: Mapping[str, float]
    seeds: Sequence[int]

    def values(self, row: Row, prediction: str, figure: str) -> list[float]:
        """One per seed."""
        return [self.results[row.run(seed)][prediction][figure] for seed in self.seeds]

    def change(self, first: tuple[Row, str], second: tuple[Row, str]) -> list[float]:
        """Differences in accuracy between (row, way to predict), one per seed."""
        both = (self.values(*side, "accuracy") for side in (first, second))
        return [after - before for after, before in zip(*both, strict=True)]


def lab_table(lab: Lab, rows: Sequence[Row]) -> str:
    """Accuracy by way to predict, for each row."""
    lines = []
    for row in rows:
        ways = PREDICTIONS if row.members > 1 else PREDICTIONS[:1]
        shown = [_spread(lab.values(row, way, "accuracy")) for way in ways]
        lines.append(
            [
                f"{SOURCES[row.source]} ({lab.agreement[row.source]:.3f})",
                f"`{row.base}`",
                row.labels,
                str(row.members),
                *(shown + ["–"] * (len(PREDICTIONS) - len(shown))),
                _spread(lab.values(row, "mean", "correlation")),
                f"{statistics.fmean(lab.values(row, 'run', 'spread')):.2f}",
            ]
        )
    return table(["labels by (agreement with gold)", "from", "labels", "members", *PREDICTIONS, "r", "spread"], lines)


def lab_differences(lab: Lab, sources: Sequence[str], members: Sequence[int]) -> str:
    """What soft labels, members and ways to predict change in accuracy: means over the other settings, paired by seed."""
    most, lines = members[-1], []
    for source in sources:
        rows = {(labels, n): Row(source, labels, n) for labels in get_args(Labels) for n in members}
        soft = [lab.change((rows["soft", n], "mean"), (rows["hard", n], "mean")) for n in members]
        many = [[lab.change((rows[x, n], "mean"), (rows[x, 1], "mean")) for x in get_args(Labels)] for n in members[1:]]
        ways = [
            [lab.change((rows[x, most], way), (rows[x, most], "mean")) for x in get_args(Labels)] for way in PREDICTIONS[1:]
        ]
        found = [[statistics.fmean(seed) for seed in zip(*column, strict=True)] for column in (soft, *many, *ways)]
        lines.append([SOURCES[source], *(_spread(values, "+.3f") for values in found)])
    head = ["labels by", "soft − hard", *(f"{n} members − 1" for n in members[1:])]
    return table([*head, *(f"{way} − mean, of {most}" for way in PREDICTIONS[1:])], lines)


def text_table(figures: Mapping[str, Any]) -> str:
    """Accuracy of each way to score, with intervals, and its correlation with length."""
    lines = [
        [name, *(f"{value:.3f} ({low:.3f}–{high:.3f})" for _, value, low, high in (found["all"], found["matched"]))]
        + [f"{found['length']:.2f}"]
        for name, found in figures.items()
    ]
    first = next(iter(figures.values()))
    return table(
        ["", f"all {first['all'][0]:,} pairs", f"{first['matched'][0]:,} length-matched pairs", "r with log length"], lines
    )


def _spread(values: Sequence[float], form: str = ".3f") -> str:
    mean, half = interval(values)
    return f"{mean:{form}} ± {half:.3f}"
