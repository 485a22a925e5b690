"""What the critic says: a verdict, or a failure with its reason. There is nothing in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rlaif.engines.base import Failure, FailureReason

__all__ = ["MIN_MASS", "Comparison", "Failure", "FailureReason", "Ranking", "Rationale", "Score"]

MIN_MASS = 0.1
"""Below this probability on all labels together, the critic was about to say something else: ``label_mass_low``."""


class Rationale(NamedTuple):
    """What the critic wrote before it compared. swapped: it saw the pair's second response as A, its first as B."""

    swapped: bool
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One principle's verdict on two responses.

    p: probability in [0, 1] that the first response is the better one, the mean over the orders asked.
    gap: P(first better | shown first) − P(first better | shown second); above 0 the critic leans to whatever comes first.
        None when one order was asked.
    mass: least probability that the labels held together in any order. None where the verdict was written out, not read
        from label probabilities.
    raw: what the critic would have said, per order.
    cut: untrusted tokens left out to fit the context, most over the orders.
    rationales: the critic's reasons, one per call, where it was asked for them.
    jury: each critic's p where there are several; None where one has no verdict.
    """

    p: float
    gap: float | None
    mass: float | None
    raw: tuple[str, ...]
    cut: int = 0
    rationales: tuple[Rationale, ...] = ()
    jury: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """One principle's verdict on one response.

    score: expected value on the scale, mapped to [-1, 1] (-1 the lowest label, 1 the highest).
    distribution: probability of each label, from worst to best, renormalised over the labels.
    jury: each critic's score where there are several; None where one has no verdict.
    """

    score: float
    distribution: tuple[float, ...]
    mass: float
    raw: tuple[str, ...]
    cut: int = 0
    jury: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """One principle's verdict on all responses of a row.

    places: for each order in which the list was shown, the place of each response, 0 for the best.
    """

    places: tuple[tuple[int, ...], ...]
    raw: tuple[str, ...]
    cut: int = 0
