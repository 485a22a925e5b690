"""Which pairs people are asked about first, and what about them. Pure functions over a run's records."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from rlaif.data.records import OVERALL, PreferenceRecord, PrincipleVerdict, beside_overall

STRATA = 5
"""Of the critic's confidence max(p, 1 − p), equally wide over [.5, 1]."""
EACH = "principle"
"""``by`` for every principle of a pair in turn."""


class Task(NamedTuple):
    """A question about a pair: ``overall`` or a principle's id, see ``beside_overall``."""

    record: PreferenceRecord
    question: str


class _Place(NamedTuple):
    """Where a pair stands in the order: by ``rank``, then by ``chance``. number: of its record."""

    rank: float
    chance: bytes
    number: int


def tasks(
    records: Callable[[], Iterable[PreferenceRecord]], by: str, choose: str, limit: int, seed: int
) -> tuple[list[Task], int]:
    """The questions to ask, those of one pair side by side, about at most ``limit`` pairs; and how many pairs there are.

    records: read twice, so that no more than ``limit`` are held. choose: ``random`` order; ``uncertainty``, the least sure pair
    first; ``disagreement``, by the standard deviation of what is said of a pair; ``stratified``, of each stratum of confidence
    one in turn. Pairs of two responses that are the same are left out.
    """
    places, ranks = list[_Place](), dict[int, list[bytes]]()
    for number, record in enumerate(records()):
        if record.chosen == record.rejected or not questions(record, by):
            continue
        chance = hashlib.sha256(repr((seed, record.id)).encode("utf-8", "surrogatepass")).digest()
        stratum = stratum_of(confidence(record, by))
        ranks.setdefault(stratum, []).append(chance)
        places.append(_Place(stratum if choose == "stratified" else rank(record, by, choose), chance, number))
    if choose == "stratified":
        order = {chance: at for found in ranks.values() for at, chance in enumerate(sorted(found))}
        places = [_Place(order[place.chance], bytes([int(place.rank)]), place.number) for place in places]
    first = [place.number for place in sorted(places)[:limit]]
    wanted = set(first)
    held = {number: record for number, record in enumerate(records()) if number in wanted}
    asked = [Task(held[number], question) for number in first for question in questions(held[number], by)]
    return asked, len(places)


def questions(record: PreferenceRecord, by: str) -> list[str]:
    """What is asked about a pair; nothing where the principle is not one of its own."""
    names = [beside_overall(verdict.id) for verdict in record.principles]
    return [OVERALL] if by == OVERALL else names if by == EACH else [by] if by in names else []


def rank(record: PreferenceRecord, by: str, choose: str) -> float:
    """The lower, the earlier. 0 in random order."""
    if choose == "uncertainty":
        return confidence(record, by)
    return -disagreement(record, by) if choose == "disagreement" else 0.0


def confidence(record: PreferenceRecord, by: str) -> float:
    """max(p, 1 − p) of what is asked, the least over the principles where all are; ½ where there is no verdict."""
    if by == OVERALL:
        return record.p_chosen
    return min((max(p, 1.0 - p) for p in _known(verdict.p for verdict in _asked(record, by))), default=0.5)


def disagreement(record: PreferenceRecord, by: str) -> float:
    """The standard deviation of the probabilities that are at odds, in [0, ½]: of the overall preference those of the
    principles; of a principle the critics', of a single critic those of the two orders. Of several, the greatest."""
    if by == OVERALL:
        known = _known(verdict.p for verdict in record.principles)
        apart = [float(np.std(known))] if known else []
    else:
        apart = []
    return max([*apart, *map(_apart, _asked(record, by))], default=0.0)


def stratum_of(sure: float) -> int:
    """Of a confidence in [.5, 1], from 0."""
    return min(STRATA - 1, int((sure - 0.5) * 2 * STRATA))


def _apart(verdict: PrincipleVerdict) -> float:
    jury = _known(verdict.jury or ())
    return float(np.std(jury)) if len(jury) > 1 else abs(verdict.gap or 0.0) / 2


def _asked(record: PreferenceRecord, by: str) -> Sequence[PrincipleVerdict]:
    return [verdict for verdict in record.principles if by in (OVERALL, EACH, beside_overall(verdict.id))]


def _known(ps: Iterable[float | None]) -> list[float]:
    return [p for p in ps if p is not None]
