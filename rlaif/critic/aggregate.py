"""From one principle's verdicts to one number for the pair or the response. Pure functions.

A missing value (None: the verdict failed) is left out; when every value is missing, so is the result. Swapping the two
responses of a pair turns every result p into 1 − p, and the order of the principles never matters.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rlaif.constitution.types import Aggregate, Principle
from rlaif.critic.verdict import Comparison, Failure, Score


class Opinion(NamedTuple):
    """value: p in [0, 1] for pairs, or a score in [-1, 1]; None when missing. gate: how sure is decisive, in (½, 1]."""

    value: float | None
    weight: float
    gate: float | None = None


def opinions(judged: Iterable[tuple[Principle, Comparison | Score | Failure]]) -> list[Opinion]:
    """Each principle's verdict as an opinion, missing where it failed."""
    return [
        Opinion(None if isinstance(verdict, Failure) else verdict.value, principle.weight, principle.gate)
        for principle, verdict in judged
    ]


def preference(opinions: Sequence[Opinion], how: Aggregate) -> float | None:
    """Probability in [0, 1] that the first response is better, all principles considered.

    Gates come first: ``decisive`` opinions decide alone, by ``weighted``. Otherwise all do, by ``weighted`` (which is also
    ``sampled``, where ``draw`` chose the one principle that was asked) or by ``worst``. Monotone in every p, but for a p
    that opens a gate: what it then overrules may have been surer than itself.
    """
    sure = decisive(opinions)
    return worst(opinions) if how == "worst" and not sure else weighted(sure or opinions)


def reward(opinions: Sequence[Opinion], how: Aggregate) -> float | None:
    """One score in [-1, 1] for a response, all principles considered.

    A gate fires here when its principle is that sure that the response is *bad*, (1 − score)/2 ≥ gate, and then decides
    alone: a veto, not a pass. Otherwise the mean by weight, or the minimum for ``worst``.
    """
    vetoes = [
        item for item in opinions if item.value is not None and item.gate is not None and (1.0 - item.value) / 2 >= item.gate
    ]
    if how == "worst" and not vetoes:
        return min((item.value for item in opinions if item.value is not None), default=None)
    return weighted(vetoes or opinions)


def weighted(opinions: Sequence[Opinion]) -> float | None:
    """Σ wᵢ pᵢ / Σ wᵢ over the opinions that are there; their plain mean where all their weights are 0."""
    known = [(item.value, item.weight) for item in opinions if item.value is not None]
    if not known:
        return None
    total = sum(weight for _, weight in known)
    if total == 0:
        return sum(value for value, _ in known) / len(known)
    return sum(value * weight for value, weight in known) / total


def worst(opinions: Sequence[Opinion]) -> float | None:
    """m / (m + 1 − M) with m = min p and M = max p: each response is judged by its weakest principle. Weights play no part.

    ½ where m = 0 and M = 1: each of the two is certainly worse on something.
    """
    known = [item.value for item in opinions if item.value is not None]
    if not known:
        return None
    first, second = min(known), 1.0 - max(known)
    return first / (first + second) if first + second > 0 else 0.5


def decisive(opinions: Sequence[Opinion]) -> list[Opinion]:
    """The opinions on a pair whose gate is open: as sure as it asks, either way, max(p, 1 − p) ≥ gate."""
    return [
        item
        for item in opinions
        if item.value is not None and item.gate is not None and max(item.value, 1.0 - item.value) >= item.gate
    ]


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
