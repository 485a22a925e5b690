"""Slow and obvious statistics: one pair at a time, in plain Python."""

from __future__ import annotations

import math
from collections.abc import Sequence


def accuracy(ps: Sequence[float], margins: Sequence[float]) -> float:
    right = [(p > 0.5 and margin > 0) or (p < 0.5 and margin < 0) for p, margin in zip(ps, margins, strict=True) if margin != 0]
    return sum(right) / len(right)


def kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Cohen's κ of two raters' categories, from its definition."""
    n = len(first)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    chance = sum((first.count(name) / n) * (second.count(name) / n) for name in set(first) | set(second))
    return (observed - chance) / (1 - chance)


def ece(ps: Sequence[float], margins: Sequence[float], bins: int) -> float:
    """Expected calibration error of max(p, 1 − p) over equally wide bins of [.5, 1], the last one closed."""
    total = 0.0
    known = [
        (max(p, 1 - p), 0.5 if p == 0.5 else float((p > 0.5) == (m > 0))) for p, m in zip(ps, margins, strict=True) if m != 0
    ]
    for number in range(bins):
        low, high = 0.5 + 0.5 * number / bins, 0.5 + 0.5 * (number + 1) / bins
        inside = [(c, r) for c, r in known if low <= c < high or (number == bins - 1 and c >= high)]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            right = sum(r for _, r in inside) / len(inside)
            total += len(inside) / len(known) * abs(right - confidence)
    return total


def wilson(successes: int, n: int, z: float) -> tuple[float, float]:
    """The shares p with |k/n − p| ≤ z √(p(1 − p)/n), by bisection on each side."""
    share = successes / n

    def outside(p: float) -> bool:
        return abs(share - p) > z * math.sqrt(p * (1 - p) / n)

    def edge(bad: float) -> float:
        good = share
        if not outside(bad):
            return bad
        for _ in range(80):
            middle = (good + bad) / 2
            good, bad = (good, middle) if outside(middle) else (middle, bad)
        return good

    return edge(0.0), edge(1.0)


def pearson(xs: Sequence[float], ys: Sequence[float]) -> float:
    x, y = sum(xs) / len(xs), sum(ys) / len(ys)
    both = sum((a - x) * (b - y) for a, b in zip(xs, ys, strict=True))
    return both / math.sqrt(sum((a - x) ** 2 for a in xs) * sum((b - y) ** 2 for b in ys))
