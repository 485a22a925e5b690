"""A judge asks the critic what a constitution wants to know, and reads the answers: build, call, parse.

Building and parsing are here and pure; the call is the engine's. What is asked about one sample is a list of ``Asked``,
one per principle that applies, each with the questions (one per order) that its verdict needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rlaif.constitution.types import Aggregate, Constitution, Principle
from rlaif.critic.aggregate import draw
from rlaif.critic.compare import ORDERS, Orders, comparison
from rlaif.critic.score import score
from rlaif.critic.store import key
from rlaif.critic.templates import Template
from rlaif.critic.verdict import MIN_MASS, Comparison, Failure, Score
from rlaif.data.rows import Row, Turn
from rlaif.engines.base import Choice, Prompt


@dataclass(frozen=True, slots=True)
class Question:
    """One call to the critic. ``key`` names everything that could change its answer."""

    key: bytes
    wording: str
    conversation: tuple[Turn, ...]
    responses: tuple[tuple[Turn, ...], ...]


class Asked(NamedTuple):
    """What one verdict needs: the principle, and its questions in the order that ``Judge.verdict`` expects answers."""

    principle: Principle
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Judge:
    """identity: the engine's. aggregate: the constitution's own, or what the user put in its place."""

    constitution: Constitution
    template: Template
    identity: str
    aggregate: Aggregate = "weighted"
    orders: Orders = "both"
    min_mass: float = MIN_MASS
    seed: int = 0

    def ask(self, row: Row, subject: tuple[int, ...]) -> list[Asked]:
        """Questions about ``subject``: indices of two of the row's responses to compare, or of the one to score."""
        principles = self._principles(row, subject)
        responses = tuple(row.responses[index].turns for index in subject)
        samples = []
        for swapped in ORDERS[self.orders] if len(subject) == 2 else (False,):
            shown = responses[::-1] if swapped else responses
            samples.append((shown, key(row.conversation, shown).hex()))
        return [
            Asked(principle, tuple(self._question(principle, row.conversation, shown, digest) for shown, digest in samples))
            for principle in principles
        ]

    def prompt(self, question: Question) -> Prompt:
        return self.template.render(question.wording, question.conversation, question.responses)

    def verdict(self, answers: Sequence[Choice | Failure]) -> Comparison | Score | Failure:
        if self.template.mode == "compare":
            return comparison(answers, self.orders, self.min_mass)
        return score(answers[0], self.min_mass)

    def _principles(self, row: Row, subject: tuple[int, ...]) -> list[Principle]:
        applying = [principle for principle in self.constitution.principles if principle.applies(row.extra)]
        if self.aggregate != "sampled" or not any(principle.weight > 0 for principle in applying):
            return applying
        # Scores of one row must be by the same principle to be comparable, so only a pair's own indices enter the draw.
        of = subject if len(subject) == 2 else ()
        return [applying[draw([principle.weight for principle in applying], self.seed, row.id, of)]]

    def _question(
        self, principle: Principle, conversation: tuple[Turn, ...], shown: tuple[tuple[Turn, ...], ...], digest: str
    ) -> Question:
        wording = self.template.wording(principle.text, principle.wordings.get(self.template.mode))
        name = key(self.identity, self.template.digest, wording, digest)
        return Question(name, wording, conversation, shown)


def in_cache_order(asked: Sequence[Asked]) -> list[Question]:
    """All questions about one sample, those that share a prompt's beginning side by side: by order, then by principle."""
    return [question for same_order in zip(*(item.questions for item in asked), strict=True) for question in same_order]
