"""What the critic says: a verdict, or a failure with its reason. There is nothing in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rlaif.engines.base import Failure, FailureReason

__all__ = ["MIN_MASS", "TIE", "Comparison", "Failure", "FailureReason", "Ranking", "Rationale", "Score", "Verdict"]

MIN_MASS = 0.1
"""Below this probability on all labels together, the critic was about to say something else: ``label_mass_low``."""


class Verdict(Protocol):
    """What the verdicts of all modes have in common. cut: untrusted tokens left out to fit the context."""

    @property
    def cut(self) -> int: ...


class Rationale(NamedTuple):
    """What the critic wrote before it compared. swapped: it saw the pair's second response as A, its first as B."""

    swapped: bool
    text: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """One principle's verdict on two responses.

    p: probability in [0, 1] that the first response is the better one, the mean over the orders asked.
    gap: P(first better | shown first) − P(first better | shown second); above 0 the critic leans to whatever comes first.
        None when one order was asked, or nothing (two responses that are the same).
    mass: least probability that the labels held together in any order. None where the verdict was written out, not read
        from label probabilities, and where nothing was asked.
    raw: what the critic would have said, per call.
    cut: untrusted tokens left out to fit the context, most over the orders.
    rationales: the critic's reasons, one per call, where it was asked for them.
    jury: each critic's p where there are several; None where one has no verdict.
    first: which of the two, 0 or 1, was shown first, where one order was asked; else None.
    uncalibrated: the critic's own p, where a calibration has put another in its place; the gap is always of its own.
    """

    p: float
    gap: float | None
    mass: float | None
    raw: tuple[str, ...]
    cut: int = 0
    rationales: tuple[Rationale, ...] = ()
    jury: tuple[float | None, ...] = ()
    first: int | None = None
    uncalibrated: float | None = None

    @property
    def value(self) -> float:
        """p, as what principles are aggregated over."""
        return self.p

    def swap(self) -> Comparison:
        """The same verdict on the pair the other way round. The gap stays: which response comes first in the prompt is none
        of the pair's own order."""
        return Comparison(
            p=1.0 - self.p,
            gap=self.gap,
            mass=self.mass,
            raw=self.raw,
            cut=self.cut,
            rationales=tuple([Rationale(not swapped, text) for swapped, text in self.rationales]),
            jury=tuple([None if p is None else 1.0 - p for p in self.jury]),
            first=None if self.first is None else 1 - self.first,
            uncalibrated=None if self.uncalibrated is None else 1.0 - self.uncalibrated,
        )


TIE = Comparison(p=0.5, gap=None, mass=None, raw=())
"""The verdict on two responses that are the same: by definition, without a question."""


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

    @property
    def value(self) -> float:
        """The score, as what principles are aggregated over."""
        return self.score


@dataclass(frozen=True, slots=True)
class Ranking:
    """One principle's verdict on all responses of a row.

    places: for each order in which the list was shown, the place of each response, 0 for the best; responses that are the same
        share one. A single order where all are, so that nothing was asked.
    listed: where one order was asked, a number for each response that is lower the earlier in the list it stood.
    """

    places: tuple[tuple[int, ...], ...]
    raw: tuple[str, ...]
    cut: int = 0
    listed: tuple[int, ...] = ()
