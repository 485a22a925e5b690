"""Which pairs of a row's responses are compared: all at once, or in rounds that look at what the rounds before have shown."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping

from rlaif.errors import UsageError

ADAPTIVE = ("swiss", "active")
"""Schedules in rounds; in a round no response is compared twice."""

Pair = tuple[int, int]


def check_pairs(schedule: str) -> str:
    """``schedule`` if it is one of those below. Raises UsageError otherwise."""
    if schedule in ("all", "adjacent", *ADAPTIVE) or (schedule.isdecimal() and int(schedule) > 0):
        return schedule
    raise UsageError(f"--pairs {schedule}: expected all, adjacent, swiss, active, or how many pairs to draw per row")


def pairs(schedule: str, n: int, *seed: object) -> list[Pair]:
    """Pairs (i, j), i < j, of ``n`` responses: every one, neighbours only, or a seeded draw of so many, in order.

    Of a schedule in rounds, the first round.
    """
    if schedule in ADAPTIVE:
        return next_pairs(schedule, n, {}, *seed)
    if schedule == "adjacent":
        return [(index, index + 1) for index in range(n - 1)]
    every = list(itertools.combinations(range(n), 2))
    if schedule == "all" or int(schedule) >= len(every):
        return every
    return sorted(random.Random(repr(seed)).sample(every, int(schedule)))


def ring(n: int, opponents: int | None) -> list[Pair]:
    """Pairs (i, j), i < j, of n in a ring: each one with its ⌈opponents / 2⌉ nearest neighbours on both sides; all for None."""
    reach = n // 2 if opponents is None else min(n // 2, (opponents + 1) // 2)
    return sorted({(min(i, j), max(i, j)) for i in range(n) for j in ((i + step) % n for step in range(1, reach + 1))})


def budget(n: int) -> int:
    """How many of the pairs of ``n`` responses a schedule in rounds compares: half of them, but at least n − 1."""
    return max(n - 1, n * (n - 1) // 4)


def next_pairs(schedule: str, n: int, results: Mapping[Pair, float | None], *seed: object) -> list[Pair]:
    """The next round of a schedule in rounds; empty when it is done.

    results: of the pairs compared so far, the probability that the first is better (None: no verdict).

    Both compare ``budget(n)`` pairs, as many at a time as have no response in common, and none twice.
    ``swiss``: those closest in strength meet, as in a tournament, but first those that no chain of comparisons connects.
    ``active``: those whose order is least sure, by |sᵢ − sⱼ| / √Var(sᵢ − sⱼ). Strengths are the least-squares ones so far.
    """
    room = min(n // 2, budget(n) - len(results))
    if schedule not in ADAPTIVE or n < 2 or room <= 0:
        return []
    order = list(range(n))
    random.Random(repr(seed)).shuffle(order)
    sure = _sureness(n, results, schedule)
    chosen: list[Pair] = []
    for pair in sorted(sure, key=lambda pair: (sure[pair], *sorted(order[index] for index in pair))):
        if len(chosen) < room and not any(set(pair) & set(other) for other in chosen):
            chosen.append(pair)
    return sorted(chosen)


def _sureness(n: int, results: Mapping[Pair, float | None], schedule: str) -> dict[Pair, float]:
    """Of every pair not compared yet, how well its order is known; the least are compared next."""
    import numpy as np

    from rlaif.critic.strengths import least_squares

    values, information = least_squares({pair: p for pair, p in results.items() if p is not None}, n)
    covariance = np.linalg.inv(information)
    sure = {}
    for i, j in itertools.combinations(range(n), 2):
        if (i, j) not in results:
            apart = float(abs(values[i] - values[j]))
            variance = float(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])
            connected = variance < n  # along a chain it is the chain's length at most; without one, the ridge alone bounds it
            sure[i, j] = round(apart / variance**0.5 if schedule == "active" else apart if connected else -1.0, 9)
    return sure
