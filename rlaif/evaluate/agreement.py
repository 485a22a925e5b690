"""Agreement of pairwise verdicts with known labels.

A label says which of two responses is better. Their order in the row is arbitrary, so every pair is counted in both
orientations, and the statistics do not depend on how a dataset happened to order its pairs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.int64]
"""[3, 3] counts: verdict by label, each ``first better``, ``tie``, ``second better``. Tables of disjoint data add up."""


class Interval(NamedTuple):
    """A proportion and its 95% interval, all in [0, 1]; NaN where there is no data."""

    value: float
    low: float
    high: float


def confusion(p: NDArray[np.float64], margin: NDArray[np.float64]) -> Table:
    """Count verdicts against labels, each pair in both orientations.

    p [N]: probability that the first response is better; NaN where there is no verdict. margin [N]: known score of the
    first minus that of the second; 0 (no label) and NaN are left out, as are missing verdicts.
    """
    table = np.zeros((3, 3), dtype=np.int64)
    known = ~np.isnan(p) & ~np.isnan(margin) & (margin != 0)
    verdict = 1 - np.sign(p[known] - 0.5).astype(int)
    label = 1 - np.sign(margin[known]).astype(int)
    np.add.at(table, (verdict, label), 1)
    mirrored: Table = table + table[::-1, ::-1]
    return mirrored


def pairs_in(table: Table) -> int:
    """How many pairs the table holds."""
    return int(table.sum()) // 2


def accuracy(table: Table) -> Interval:
    """Share of pairs whose verdict agrees with the label. An undecided verdict (p exactly .5) does not agree."""
    return wilson(int(np.trace(table)) // 2, pairs_in(table))


def kappa(table: Table) -> float:
    """Cohen's κ = (p_o − p_e) / (1 − p_e), with p_o the observed and p_e the chance agreement of the two margins.

    With both orientations counted p_e is ½ when no verdict is undecided, and then κ = 2 · accuracy − 1. NaN without data.
    Source: Cohen 1960, "A coefficient of agreement for nominal scales".
    """
    n = int(table.sum())
    if n == 0:
        return math.nan
    observed = float(np.trace(table)) / n
    by_chance = float(table.sum(axis=0) @ table.sum(axis=1)) / n**2
    return (observed - by_chance) / (1 - by_chance)


def wilson(successes: float, n: float, z: float = 1.959963984540054) -> Interval:
    """A proportion with its Wilson score interval: (k + z²/2 ± z √(k(n−k)/n + z²/4)) / (n + z²).

    Source: Wilson 1927; recommended for small n by Brown, Cai and DasGupta 2001.
    """
    if n == 0:
        return Interval(math.nan, math.nan, math.nan)
    half = z * math.sqrt(max(0.0, successes * (n - successes) / n) + z * z / 4)
    middle = successes + z * z / 2
    low, high = (middle - half) / (n + z * z), (middle + half) / (n + z * z)
    return Interval(successes / n, max(0.0, low), min(1.0, high))


def correlation(moments: NDArray[np.float64]) -> float:
    """Pearson's r from ``[n, Σx, Σy, Σx², Σy², Σxy]``; NaN where either does not vary."""
    n, x, y, xx, yy, xy = moments.tolist()
    spread = (n * xx - x * x) * (n * yy - y * y)
    return (n * xy - x * y) / math.sqrt(spread) if n > 1 and spread > 1e-18 * n**4 else math.nan


def moments(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """[6] sums that ``correlation`` takes, over the entries where both are known; sums of disjoint data add up."""
    known = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[known], y[known]
    return np.array([len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y], dtype=np.float64)
