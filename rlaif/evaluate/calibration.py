"""Calibration: whether a soft label of .8 is right eight times in ten."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlaif.evaluate.agreement import Interval, wilson

BINS = 10


class Reliability(NamedTuple):
    """[BINS] sums per bin of confidence, equally wide over [.5, 1].

    pairs: how many. confidence: Σ max(p, 1 − p). correct: pairs whose more probable side is the labelled one; a pair at
    exactly .5 counts as half.
    """

    pairs: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]

    def plus(self, other: Reliability) -> Reliability:
        """The sums over both, which must be of disjoint data."""
        return Reliability(self.pairs + other.pairs, self.confidence + other.confidence, self.correct + other.correct)


class Bin(NamedTuple):
    """One point of the reliability plot."""

    low: float
    high: float
    pairs: int
    confidence: float
    accuracy: Interval


def reliability(p: NDArray[np.float64], margin: NDArray[np.float64]) -> Reliability:
    """Bin p [N] (probability that the first is better; NaN: no verdict) against margin [N] (its sign is the label).

    Confidence folds p around ½, so that the result does not depend on which response stands first.
    """
    known = ~np.isnan(p) & ~np.isnan(margin) & (margin != 0)
    lean = p[known] - 0.5
    confidence = 0.5 + np.abs(lean)
    correct = 0.5 + 0.5 * np.sign(lean) * np.sign(margin[known])
    bin_of = np.clip(((confidence - 0.5) * 2 * BINS).astype(int), 0, BINS - 1)
    sums = np.zeros((3, BINS))
    np.add.at(sums.T, bin_of, np.stack([np.ones_like(lean), confidence, correct], axis=1))
    return Reliability(*sums)


def ece(bins: Reliability) -> float:
    """Expected calibration error, Σ_b n_b/N · |accuracy_b − confidence_b|, in [0, 1]; NaN without data.

    Source: Naeini et al. 2015; Guo et al. 2017, eq. 3 and 5.
    """
    total = bins.pairs.sum()
    return float(np.abs(bins.correct - bins.confidence).sum() / total) if total else float("nan")


def points(bins: Reliability) -> list[Bin]:
    """The reliability plot: one point for each bin that holds pairs."""
    edges = np.linspace(0.5, 1.0, BINS + 1).tolist()
    return [
        Bin(edges[b], edges[b + 1], int(n), float(bins.confidence[b] / n), wilson(float(bins.correct[b]), int(n)))
        for b, n in enumerate(bins.pairs.tolist())
        if n
    ]
