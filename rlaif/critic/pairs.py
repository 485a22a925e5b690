"""Which pairs of a row's responses are compared."""

from __future__ import annotations

import itertools
import random

from rlaif.errors import UsageError


def check_pairs(schedule: str) -> str:
    """``schedule`` if it is ``all``, ``adjacent`` or a whole number above 0. Raises UsageError otherwise."""
    if schedule in ("all", "adjacent") or (schedule.isdecimal() and int(schedule) > 0):
        return schedule
    raise UsageError(f"--pairs {schedule}: expected all, adjacent, or how many pairs to draw per row")


def pairs(schedule: str, n: int, *seed: object) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of ``n`` responses: every one, neighbours only, or a seeded draw of so many, in order."""
    if schedule == "adjacent":
        return [(index, index + 1) for index in range(n - 1)]
    every = list(itertools.combinations(range(n), 2))
    if schedule == "all" or int(schedule) >= len(every):
        return every
    return sorted(random.Random(repr(seed)).sample(every, int(schedule)))
