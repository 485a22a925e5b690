"""From one principle's verdicts to one number for the pair or the response. Pure functions.

A missing value (None: the verdict failed) is left out; when every value is missing, so is the result.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from rlaif.constitution.types import Aggregate


class Opinion(NamedTuple):
    """value: p in [0, 1] for pairs, or a score in [-1, 1]; None when missing. gate: how sure is decisive, in (½, 1]."""

    value: float | None
    weight: float
    gate: float | None = None


def preference(opinions: Sequence[Opinion], how: Aggregate) -> float | None:
    """Probability in [0, 1] that the first response is better, all principles considered.

    Gates come first: among the principles that are as sure as their gate asks (either way), the weighted mean decides
    alone. Otherwise ``weighted`` (and ``sampled``, where one principle was asked) is the mean of p by weight; ``worst`` is
    m / (m + 1 − M) with m = min p and M = max p: each response is judged by its weakest principle. Swapping the responses
    gives 1 − p.
    """
    known = [(item.value, item.weight, item.gate) for item in opinions if item.value is not None]
    gated = [(p, weight) for p, weight, gate in known if gate is not None and max(p, 1.0 - p) >= gate]
    if gated:
        return _mean(gated)
    if how == "worst" and known:
        weakest_first = min(p for p, _, _ in known)
        weakest_second = 1.0 - max(p for p, _, _ in known)
        both = weakest_first + weakest_second
        return weakest_first / both if both > 0 else 0.5  # each is certainly worse on something: a true tie
    return _mean([(p, weight) for p, weight, _ in known])


def reward(opinions: Sequence[Opinion], how: Aggregate) -> float | None:
    """One score in [-1, 1] for a response, all principles considered.

    A gate fires here when its principle is that sure that the response is *bad*, (1 − score)/2 ≥ gate, and then decides
    alone: a veto, not a pass. Otherwise the mean by weight, or the minimum for ``worst``.
    """
    known = [(item.value, item.weight, item.gate) for item in opinions if item.value is not None]
    gated = [(value, weight) for value, weight, gate in known if gate is not None and (1.0 - value) / 2 >= gate]
    if gated:
        return _mean(gated)
    if how == "worst" and known:
        return min(value for value, _, _ in known)
    return _mean([(value, weight) for value, weight, _ in known])


def draw(weights: Sequence[float], *seed: object) -> int:
    """Index of the one principle asked about a sample in ``sampled`` mode (Bai et al. 2022 §4.1), by weight.

    The draw depends on ``seed`` alone, so it is the same when the run is repeated or resumed.
    """
    digest = hashlib.sha256(repr(seed).encode("utf-8", "surrogatepass")).digest()
    mark = int.from_bytes(digest[:8]) / 2**64 * sum(weights)
    for index, weight in enumerate(weights):
        mark -= weight
        if mark < 0:
            return index
    return max(index for index, weight in enumerate(weights) if weight > 0)


def _mean(weighted: Sequence[tuple[float, float]]) -> float | None:
    """Mean by weight; where all weights are 0, the plain mean."""
    if not weighted:
        return None
    total = sum(weight for _, weight in weighted)
    if total == 0:
        return sum(value for value, _ in weighted) / len(weighted)
    return sum(value * weight for value, weight in weighted) / total
