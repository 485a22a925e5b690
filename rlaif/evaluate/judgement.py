"""The statistics of a run's verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlaif.evaluate import agreement, bias, calibration
from rlaif.evaluate.bias import Position
from rlaif.evaluate.calibration import BINS, Reliability

SPREAD = 20
"""Bins of the histogram of p over [0, 1]."""


@dataclass
class Judgement:
    """One principle's verdicts, or (``overall``) the preferences made of them, as sums: nothing grows with the data.

    verdicts: of pairs, or of single responses in score mode. answered, failed: what each critic was asked, by whether it gave a
    verdict; in rank mode of lists. mass: Σ of label mass over ``massed`` verdicts.
    table, bins: against gold, see ``agreement`` and ``calibration``. moments: of scores against gold scores. spread: a
    histogram of p, the probability that the chosen response is better. judged_by_many: verdicts by two critics or more;
    unanimous: those on which all prefer the same response; apart: Σ standard deviation of their p.
    known, unknown: moments of the verdicts' confidence max(p, 1 − p) against being right, of pairs with gold and of pairs
    without, where only those of the confidence count.
    """

    id: str
    verdicts: int = 0
    answered: int = 0
    failed: int = 0
    mass: float = 0.0
    massed: int = 0
    position: Position = field(default_factory=Position)
    table: agreement.Table = field(default_factory=lambda: np.zeros((3, 3), dtype=np.int64))
    bins: Reliability = field(default_factory=lambda: Reliability(*np.zeros((3, BINS))))
    moments: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))
    spread: NDArray[np.int64] = field(default_factory=lambda: np.zeros(SPREAD, dtype=np.int64))
    known: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))
    unknown: NDArray[np.float64] = field(default_factory=lambda: np.zeros(6))
    unanimous: int = 0
    judged_by_many: int = 0
    apart: float = 0.0

    @property
    def disagreement(self) -> float:
        """Mean standard deviation of the critics' p of a jury, in [0, ½]; NaN without one."""
        return self.apart / self.judged_by_many if self.judged_by_many else float("nan")

    def add_jury(self, ps: Sequence[float | None] | None) -> None:
        """Add the verdicts of a jury's critics on one pair; those without a verdict are left out."""
        if ps is None:
            return
        known = [p for p in ps if p is not None]
        if len(known) > 1:
            self.judged_by_many += 1
            self.unanimous += min(known) > 0.5 or max(known) < 0.5
            self.apart += float(np.std(known))

    @property
    def failure_rate(self) -> float:
        """Of everything asked, in [0, 1]; NaN where nothing was."""
        asked = self.answered + self.failed
        return self.failed / asked if asked else float("nan")

    @property
    def mean_mass(self) -> float:
        return self.mass / self.massed if self.massed else float("nan")

    def add_pairs(
        self,
        p: NDArray[np.float64],
        gap: NDArray[np.float64],
        margin: NDArray[np.float64],
        chosen_first: NDArray[np.bool_] | None = None,
        asked: NDArray[np.float64] | None = None,
    ) -> None:
        """Add verdicts p, their gaps and gold margins, each [N] with NaN for unknown.

        chosen_first [N]: whether the chosen response was shown first, where one order was asked. asked [N]: the critic's own p
        where calibrated ones are judged; position is a matter of those."""
        own = p if asked is None else asked
        seen = bias.position(own, gap) if chosen_first is None else bias.position_once(own, chosen_first)
        self.position = self.position.plus(seen)
        self.spread = self.spread + np.histogram(p, bins=SPREAD, range=(0.0, 1.0))[0]
        self.table = self.table + agreement.confusion(p, margin)
        self.bins = self.bins.plus(calibration.reliability(p, margin))
        unlabelled, labelled = np.isnan(margin), np.abs(margin) > 0  # a known tie is neither
        confidence, right = np.maximum(p, 1 - p), (np.sign(p - 0.5) == np.sign(margin)).astype(float)
        self.known = self.known + agreement.moments(confidence[labelled], right[labelled])
        self.unknown = self.unknown + agreement.moments(confidence[unlabelled], np.zeros(unlabelled.sum()))


@dataclass
class Quality:
    """longer, listed: (times the longer / the one with a list was chosen, pairs in which just one was).
    reasons: failures by reason. redundancy: [K, K] in the order of ``principles``. cycles: (triples of a row's responses
    whose preferences form a cycle, triples compared in full). canaries: (known rows judged right, judged at all)."""

    run: Mapping[str, Any]
    overall: Judgement
    principles: list[Judgement]
    reasons: Mapping[str, int]
    longer: tuple[int, int]
    listed: tuple[int, int]
    redundancy: NDArray[np.float64]
    cycles: tuple[int, int] = (0, 0)

    @property
    def alike(self) -> list[tuple[str, str, float]]:
        """Every two principles, and how much their verdicts are correlated; those that are known."""
        names = [one.id for one in self.principles]
        pairs = [(other, at, float(self.redundancy[at, other])) for at in range(len(names)) for other in range(at)]
        return [(names[first], names[second], r) for first, second, r in pairs if r == r]

    @property
    def canaries(self) -> tuple[int, int]:
        return self.counts.get("canaries_right", 0), self.counts.get("canaries", 0)

    @property
    def speed(self) -> float:
        """Verdicts per second of labelling, without the store's share; NaN where it answered all, or the time is unknown."""
        seconds = self.run.get("timings", {}).get("label_seconds", 0.0)
        asked, cached = self.counts.get("asked", 0), self.counts.get("cached", 0)
        return self.counts.get("verdicts", 0) * asked / (asked + cached) / seconds if asked and seconds else float("nan")

    @property
    def tokens(self) -> float:
        """Tokens read and written per verdict; NaN where the engine does not count them."""
        counted = self.counts.get("prompt_tokens", 0) + self.counts.get("completion_tokens", 0)
        return counted / self.counts["verdicts"] if counted and self.counts.get("verdicts") else float("nan")

    @property
    def dollars(self) -> float | None:
        """What the critics cost; None where nothing was paid, or no price is known."""
        dollars: float | None = (self.run.get("cost") or {}).get("dollars")
        return dollars or None

    @property
    def most_alike(self) -> tuple[str, str, float] | None:
        """The two principles whose verdicts are most correlated, and how much; None where there are no two."""
        return max(self.alike, key=lambda pair: pair[2], default=None)

    @property
    def jury(self) -> tuple[int, int]:
        """(verdicts on which all of a jury's critics prefer the same response, verdicts by two or more of them)."""
        return sum(judgement.unanimous for judgement in self.principles), sum(
            judgement.judged_by_many for judgement in self.principles
        )

    @property
    def counts(self) -> Mapping[str, int]:
        counts: Mapping[str, int] = self.run.get("counts", {})
        return counts

    @property
    def failure_rate(self) -> float:
        """Verdicts that failed, of those wanted."""
        failed = self.counts.get("failed", 0)
        return failed / max(1, failed + self.counts.get("verdicts", 0))

    @property
    def position(self) -> Position:
        """Over the verdicts of all principles."""
        return reduce(Position.plus, (judgement.position for judgement in self.principles), Position())
