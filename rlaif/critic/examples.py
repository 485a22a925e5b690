"""A principle's examples at work: as shots before a question, and as rows whose right answer is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.templates import Shot
from rlaif.data.rows import Response, Row, Turn


@dataclass(frozen=True, slots=True)
class Known(Row):
    """A row of two responses, of which number ``better`` is the better one by ``principle``."""

    principle: Principle = field(kw_only=True)
    better: int = field(kw_only=True)


def known(constitution: Constitution) -> Iterator[Known]:
    """Every example of every principle as a row, ``ID#1`` and so on; the better response is the first in every other one."""
    for principle in constitution.principles:
        for number, example in enumerate(principle.examples, 1):
            better = (number - 1) % 2
            texts = (example.better, example.worse)[:: -1 if better else 1]
            responses = tuple(Response((_answer(text),)) for text in texts)
            yield Known(0, f"{principle.id}#{number}", example.prompt, responses, principle=principle, better=better)


def margin(row: Known, p: float) -> float:
    """By how much the better response of a known row wins, in [-1, 1], where its first is better with probability ``p``.

    At 0 or below the critic is wrong.
    """
    return 2.0 * p - 1.0 if row.better == 0 else 1.0 - 2.0 * p


def shots(principle: Principle, choices: Sequence[str], most: int, conversation: Sequence[Turn]) -> tuple[Shot, ...]:
    """Up to ``most`` of the principle's examples, the first label right in one and the second in the next.

    An example about the very conversation that is asked about is left out: it would give the answer away.
    """
    if not most:
        return ()
    usable = [example for example in principle.examples if list(example.prompt) != list(conversation)][:most]
    return tuple(
        Shot(example.prompt, ((_answer(example.worse),), (_answer(example.better),)), choices[1])
        if number % 2
        else Shot(example.prompt, ((_answer(example.better),), (_answer(example.worse),)), choices[0])
        for number, example in enumerate(usable)
    )


def critique_shots(principle: Principle, most: int, conversation: Sequence[Turn]) -> tuple[Shot, ...]:
    """Up to ``most`` of the principle's examples that have a critique: the worse response, its critique, the better one."""
    usable = [example for example in principle.examples if example.critique and list(example.prompt) != list(conversation)][
        :most
    ]
    return tuple(Shot(example.prompt, ((_answer(example.worse),),), example.critique, example.better) for example in usable)


def _answer(text: str) -> Turn:
    return Turn(role="assistant", content=text)
