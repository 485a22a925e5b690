"""What a feedback mode is, and what the modes share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from rlaif.critic.verdict import MIN_MASS, Comparison, Failure, Score, Verdict

if TYPE_CHECKING:  # the command line reads ``Orders`` here
    from rlaif.critic.store import Answer
    from rlaif.critic.templates import Form
    from rlaif.engines.base import Sampling

Orders = Literal["both", "ab", "ba"]
ORDERS: dict[Orders, tuple[bool, ...]] = {"both": (False, True), "ab": (False,), "ba": (True,)}
"""For each call that a verdict on several responses needs: are they shown in reverse? What they are the reverse of is drawn by
the judge (``Judge.ask``) where one order is asked."""
Subject = tuple[int, ...]
"""What one verdict is about: indices of two of a row's responses, of one, or of all."""
AnyVerdict = TypeVar("AnyVerdict", bound=Verdict)
Answered = TypeVar("Answered")


@dataclass(frozen=True, slots=True)
class Reading:
    """How answers are read. orders: in which the responses were shown. min_mass: least probability on all labels together.
    clamp: the least and the greatest p of one order."""

    orders: Orders = "both"
    min_mass: float = MIN_MASS
    clamp: tuple[float, float] = (0.0, 1.0)


class Mode(Protocol[AnyVerdict]):
    """One way of asking a critic. Everything that differs between modes is here; the rest of the package asks this object.

    ``MODES`` holds ours; another one needs its object, its prompt template, and its name there, as an entry point of the group
    ``rlaif.modes``, or on the command line as ``module:Name``.
    """

    form: Form
    """What its prompt template holds."""
    reasons: Form | None
    """The template that asks for a rationale first (``--reasons``); None where there is none."""
    settings: frozenset[str]
    """Which of ``orders``, ``min_mass``, ``shots``, ``reasons`` and ``rounds`` (of pairs) mean something here; others are
    refused."""
    scores: bool
    """Whether it says something of single responses, so that a run writes ``scores.jsonl``."""
    action: str
    """What the critic does with a row, in the past tense, for the dataset card."""

    def unfit(self, n: int) -> str | None:
        """Why nothing can be asked about a row of ``n`` ≥ 1 responses; None where something can."""
        ...

    def subjects(self, n: int, pairs: Sequence[tuple[int, int]]) -> Sequence[Subject]:
        """What is asked about a row of ``n`` responses, of which ``pairs`` are to be labelled."""
        ...

    def drawing(self, n: int) -> Sampling | None:
        """How the text is drawn that answers a question about ``n`` responses; None where labels' probabilities answer it."""
        ...

    def read(
        self, answers: Sequence[Answer], rationales: Sequence[str | None], shown: Sequence[int], how: Reading
    ) -> AnyVerdict | Failure:
        """The verdict on one subject.

        answers: one per order and vote, in the order of ``how.orders``, the votes one after the other. None where all responses
            of the subject are the same, so that nothing was asked.
        rationales: what the critic wrote before each answer, parallel to these; empty where it was not asked to.
        shown: for each response of the subject, its place among the different ones, which alone are shown.
        """
        ...

    def on_pair(self, verdicts: Mapping[Subject, AnyVerdict | Failure], first: int, second: int) -> Comparison | Failure | None:
        """What one critic's verdicts on a row say of two of its responses; None where they say nothing of this pair."""
        ...

    def on_response(self, verdicts: Mapping[Subject, AnyVerdict | Failure], index: int) -> Score | Failure | None:
        """What one critic's verdicts on a row say of one response; None where they say nothing of it by itself."""
        ...


def in_every_order(answers: Sequence[Answered | Failure], orders: Orders) -> list[Answered] | Failure:
    """The answers, one per order; where some failed, the first one's reason with what happened in each of these orders."""
    given = [answer for answer in answers if not isinstance(answer, Failure)]
    if len(given) == len(answers):
        return given
    failed = [
        ("ba" if swapped else "ab", answer)
        for answer, swapped in zip(answers, ORDERS[orders], strict=True)
        if isinstance(answer, Failure)
    ]
    return Failure(failed[0][1].reason, "; ".join(f"{order}: {failure.detail}" for order, failure in failed))
