"""What a run's verdicts add up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlaif.evaluate import agreement, bias, calibration
from rlaif.evaluate.bias import Position
from rlaif.evaluate.calibration import BINS, Reliability

OVERALL = "overall"
SPREAD = 20
"""Bins of the histogram of p over [0, 1]."""


@dataclass
class Judgement:
    """What is known of one principle's verdicts, or (``overall``) of the preferences made of them; sums, so that it streams.

    verdicts, failed: of pairs, or of single responses in score mode. mass: Σ of label mass over ``massed`` verdicts.
    table, bins: against gold, see ``agreement`` and ``calibration``. moments: of scores against gold scores. spread: a
    histogram of p, the probability that the chosen response is better.
    """

    id: str
    verdicts: int = 0
    failed: int = 0
    mass: float = 0.0
    massed: int = 0
    position: Position = field(default_factory=Position)
    table: agreement.Table = field(default_factory=lambda: np.zeros((3, 3), dtype=np.int64))
    bins: Reliability = field(default_factory=lambda: Reliability(*np.zeros((3, BINS))))
    moments: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))
    spread: NDArray[np.int64] = field(default_factory=lambda: np.zeros(SPREAD, dtype=np.int64))

    @property
    def failure_rate(self) -> float:
        """Of everything asked, in [0, 1]; NaN where nothing was."""
        asked = self.verdicts + self.failed
        return self.failed / asked if asked else float("nan")

    @property
    def mean_mass(self) -> float:
        return self.mass / self.massed if self.massed else float("nan")

    def add_pairs(self, p: NDArray[np.float64], gap: NDArray[np.float64], margin: NDArray[np.float64]) -> None:
        """Take in verdicts p, their gaps and gold margins, each [N] with NaN for unknown."""
        self.position = self.position.plus(bias.position(p, gap))
        self.spread = self.spread + np.histogram(p, bins=SPREAD, range=(0.0, 1.0))[0]
        self.table = self.table + agreement.confusion(p, margin)
        self.bins = self.bins.plus(calibration.reliability(p, margin))


@dataclass
class Quality:
    """longer, listed: (times the longer / the one with a list was chosen, pairs in which just one was).
    reasons: failures by reason. redundancy: [K, K] in the order of ``principles``."""

    run: Mapping[str, Any]
    overall: Judgement
    principles: list[Judgement]
    reasons: Mapping[str, int]
    longer: tuple[int, int]
    listed: tuple[int, int]
    redundancy: NDArray[np.float64]

    @property
    def counts(self) -> Mapping[str, int]:
        counts: Mapping[str, int] = self.run.get("counts", {})
        return counts

    @property
    def failure_rate(self) -> float:
        """Verdicts that failed, of those wanted."""
        return self.counts.get("failed", 0) / max(1, self.counts.get("verdicts", 0))

    @property
    def position(self) -> Position:
        """Over the verdicts of all principles."""
        return reduce(Position.plus, (one.position for one in self.principles), Position())
