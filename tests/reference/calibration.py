"""Calibration from its definitions, slowly."""

from __future__ import annotations

import math
from collections.abc import Sequence


def isotonic(x: Sequence[float], y: Sequence[float]) -> dict[float, float]:
    """The increasing least-squares fit at each x, by the min-max formula: max over i ≤ k of min over j ≥ k of the mean of
    y over x_i … x_j (Robertson, Wright and Dykstra 1988, theorem 1.4.4)."""
    groups = {value: [label for at, label in zip(x, y, strict=True) if at == value] for value in sorted(set(x))}
    listed = list(groups.values())

    def mean(i: int, j: int) -> float:
        every = [label for group in listed[i : j + 1] for label in group]
        return sum(every) / len(every)

    return {value: max(min(mean(i, j) for j in range(k, len(listed))) for i in range(k + 1)) for k, value in enumerate(groups)}


def platt_loss(a: float, p: Sequence[float], y: Sequence[float]) -> float:
    """Cross entropy of σ(a · logit p) with Platt's targets, over both orientations of each pair, one term at a time."""
    n, total = len(p), 0.0
    for one, label in zip(p, y, strict=True):
        for q, right in ((one, label == 1), (1 - one, label == 0)):
            fitted = 1 / (1 + math.exp(-a * math.log(q / (1 - q))))
            target = (n + 1) / (n + 2) if right else 1 / (n + 2)
            total -= target * math.log(fitted) + (1 - target) * math.log(1 - fitted)
    return total
