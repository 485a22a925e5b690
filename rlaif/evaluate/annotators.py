"""How far people agree with each other, and how many more answers an interval needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import NamedTuple

import numpy as np

from rlaif.evaluate import agreement
from rlaif.evaluate.agreement import wilson

Votes = Iterable[Mapping[str, float]]
"""Of each question, by annotator: 1 for the one response, 0 for the other, ½ for a tie."""
_MOST = 10**7


class Both(NamedTuple):
    """Two annotators. questions: that both answered. kappa: Cohen's κ over better, tie and worse."""

    first: str
    second: str
    questions: int
    same: float
    kappa: float


def by_two(votes: Votes) -> list[Both]:
    """Every two annotators who answered some of the same questions. Which of a pair's responses is called the first is
    arbitrary, so every question counts in both orientations, as in ``agreement.confusion``."""
    tables: dict[tuple[str, str], agreement.Table] = {}
    for by_annotator in votes:
        for one, other in combinations(sorted(by_annotator), 2):
            table = tables.setdefault((one, other), np.zeros((3, 3), dtype=np.int64))
            row, column = (round(2 - 2 * by_annotator[name]) for name in (one, other))
            table[row, column] += 1
            table[2 - row, 2 - column] += 1
    return [
        Both(*names, agreement.pairs_in(table), float(np.trace(table) / table.sum()), _kappa(table))
        for names, table in sorted(tables.items())
    ]


def _kappa(table: agreement.Table) -> float:
    """NaN where both always said tie: by chance, too, they would always agree."""
    return math.nan if table[1, 1] == table.sum() else agreement.kappa(table)


def alpha(units: Iterable[Iterable[float]]) -> float:
    """Krippendorff's α for nominal values, any number of annotators and missing answers; NaN where values do not vary.

    α = 1 − (n − 1) Σ_{c≠k} o_ck / Σ_{c≠k} n_c n_k, with o the coincidences within units, each pair of a unit of m values
    counting 1/(m − 1). units: the values that each question was given. Source: Krippendorff 2011, "Computing Krippendorff's
    alpha-reliability", section C.
    """
    coincidences: dict[tuple[float, float], float] = {}
    for unit in units:
        values = list(unit)
        for one in range(len(values)):
            for other in range(len(values)):
                if one != other:
                    pair = values[one], values[other]
                    coincidences[pair] = coincidences.get(pair, 0.0) + 1.0 / (len(values) - 1)
    totals: dict[float, float] = {}
    for (value, _), count in coincidences.items():
        totals[value] = totals.get(value, 0.0) + count
    n = sum(totals.values())
    observed = sum(count for (one, other), count in coincidences.items() if one != other)
    expected = n * n - sum(total * total for total in totals.values())
    return 1.0 - (n - 1) * observed / expected if expected else math.nan


def reach(share: float, n: int) -> float:
    """Half the width of the 95% interval of a share of ``n`` answers, in [0, ½]; ½ without any."""
    found = wilson(share * n, n)
    return (found.high - found.low) / 2 if n else 0.5


def more_to_halve(share: float, n: int) -> int:
    """How many more answers, of which the same share agrees, make that interval half as wide."""
    goal, low, high = reach(share, n) / 2, n, _MOST
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reach(share, middle) <= goal else (middle + 1, high)
    return low - n
