"""A judge asks the critic what a constitution wants to know, and reads the answers: build, call, parse.

Building and parsing are here and pure; the call is the engine's. What is asked about one sample is a list of ``Asked``,
one per principle that applies, each with the questions (one per order, and per vote) that its verdict needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from rlaif.constitution.types import Aggregate, Constitution, Principle
from rlaif.critic.aggregate import draw
from rlaif.critic.examples import shots
from rlaif.critic.modes.compare import ORDERS, Orders, averaged, comparison
from rlaif.critic.modes.rank import ranking, reply_pattern, reply_tokens
from rlaif.critic.modes.score import score
from rlaif.critic.sampled import counted
from rlaif.critic.store import Answer, key
from rlaif.critic.templates import Shot, Template
from rlaif.critic.verdict import MIN_MASS, Comparison, Failure, Ranking, Rationale, Score
from rlaif.data.rows import Row, Turn
from rlaif.engines.base import Choice, Prompt, Sampling

REASONS = Sampling(max_tokens=512, temperature=0.0)
"""How a rationale is drawn unless the user says otherwise: greedily, as in Lee et al. 2023 §2."""


@dataclass(frozen=True, slots=True)
class Question:
    """One call to the critic. ``key`` names everything that could change its answer. vote: which of several rationales."""

    key: bytes
    wording: str
    conversation: tuple[Turn, ...]
    responses: tuple[tuple[Turn, ...], ...]
    shots: tuple[Shot, ...] = ()
    vote: int = 0


class Asked(NamedTuple):
    """What one verdict needs: the principle, and its questions in the order that ``Judge.verdict`` expects answers."""

    principle: Principle
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Judge:
    """identity: the engine's. aggregate: the constitution's own, or what the user put in its place.

    shots: worked examples shown before each comparison, from the principle's own. reasons: how rationales are drawn, with a
    template that asks for them. votes: rationales per order; the verdict is the mean of theirs. clamp: see ``comparison``.
    sampled: how labels are drawn as texts (``critic.sampled``); None where they are read from log-probabilities.
    """

    constitution: Constitution
    template: Template
    identity: str
    aggregate: Aggregate = "weighted"
    orders: Orders = "both"
    min_mass: float = MIN_MASS
    seed: int = 0
    shots: int = 0
    reasons: Sampling = REASONS
    votes: int = 1
    clamp: tuple[float, float] = (0.0, 1.0)
    sampled: Sampling | None = None

    def ask(self, row: Row, subject: tuple[int, ...], principles: Sequence[Principle] | None = None) -> list[Asked]:
        """Questions about ``subject``: indices of two of the row's responses to compare, of one to score, or of all to rank.

        principles: what to ask about instead of all that applies.
        """
        responses = tuple(row.responses[index].turns for index in subject)
        samples = []
        for swapped in ORDERS[self.orders] if len(subject) > 1 else (False,):
            shown = responses[::-1] if swapped else responses
            samples.append((shown, key(row.conversation, shown).hex()))
        asked = []
        for principle in self._principles(row, subject) if principles is None else principles:
            examples = shots(principle, self.template.choices, self.shots, row.conversation)
            once = [self._question(principle, row.conversation, shown, digest, examples) for shown, digest in samples]
            asked.append(Asked(principle, tuple(self._vote(one, vote) for vote in range(self.votes) for one in once)))
        return asked

    def prompt(self, question: Question, rationale: str | None = None) -> Prompt:
        """What the critic reads; with a rationale of its own, what it reads after having given it."""
        return self.template.render(question.wording, question.conversation, question.responses, question.shots, rationale)

    def drawing(self, question: Question) -> Sampling:
        """How the text that answers the question is generated: a rationale, or a ranking."""
        if self.template.mode == "rank":
            n = len(question.responses)
            return Sampling(max_tokens=reply_tokens(n), temperature=0.0, pattern=reply_pattern(n))
        return replace(self.reasons, seed=self.reasons.seed + question.vote)

    def verdict(
        self, answers: Sequence[Answer], rationales: Sequence[str | None] = (), listed: int = 0
    ) -> Comparison | Score | Ranking | Failure:
        """The verdict from the answers to one ``Asked``.

        rationales: the reasons that each answer followed, None where it followed none. listed: how many responses a ranking
            is of.
        """
        if self.sampled:
            answers = [counted(one, self.template.choices) if isinstance(one, list) else one for one in answers]
        if self.template.mode == "rank":
            return ranking([answer for answer in answers if not isinstance(answer, Choice)], listed, self.orders)
        choices = [answer for answer in answers if not isinstance(answer, list)]
        if self.template.mode == "score":
            return score(choices[0], self.min_mass)
        once = len(ORDERS[self.orders])
        votes = [
            comparison(choices[start : start + once], self.orders, self.min_mass, self.clamp)
            for start in range(0, len(choices), once)
        ]
        found = averaged(votes)
        if isinstance(found, Failure) or not any(rationales):
            return found
        told = zip(ORDERS[self.orders] * self.votes, rationales, strict=True)
        return replace(found, rationales=tuple(Rationale(swapped, text) for swapped, text in told if text is not None))

    def _principles(self, row: Row, subject: tuple[int, ...]) -> list[Principle]:
        applying = [principle for principle in self.constitution.principles if principle.applies(row.extra)]
        if self.aggregate != "sampled" or not any(principle.weight > 0 for principle in applying):
            return applying
        # Scores of one row must be by the same principle to be comparable, so only a pair's own indices enter the draw.
        of = subject if len(subject) == 2 else ()
        return [applying[draw([principle.weight for principle in applying], self.seed, row.id, of)]]

    def _question(
        self,
        principle: Principle,
        conversation: tuple[Turn, ...],
        shown: tuple[tuple[Turn, ...], ...],
        digest: str,
        examples: tuple[Shot, ...],
    ) -> Question:
        wording = self.template.wording(principle.text, principle.wordings.get(self.template.mode))
        more = [["shots", examples]] if examples else []
        name = key(self.identity, self.template.digest, wording, digest, *more)
        return Question(name, wording, conversation, shown, examples)

    def _vote(self, question: Question, vote: int) -> Question:
        """The question once more, for another rationale. Greedy ones are all alike, and whatever the seed."""
        if not self.template.then:
            return question
        drawn = (self.reasons.temperature, self.reasons.top_p, self.reasons.seed, vote) if self.reasons.temperature else ()
        return replace(question, key=key(question.key.hex(), "reasons", self.reasons.max_tokens, drawn), vote=vote)


def in_cache_order(asked: Sequence[Asked]) -> list[Question]:
    """All questions about one sample, those that share a prompt's beginning side by side: by order, then by principle."""
    return [question for same_order in zip(*(item.questions for item in asked), strict=True) for question in same_order]
