"""A judge asks the critic what a constitution wants to know, and reads the answers: build, call, parse.

Building and parsing are here and pure; the call is the engine's. What is asked about one sample is a list of ``Asked``,
one per principle that applies, each with the questions (one per order, and per vote) that its verdict needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from rlaif.constitution.types import Aggregate, Constitution, Principle
from rlaif.critic.aggregate import draw
from rlaif.critic.examples import shots
from rlaif.critic.modes import MODES
from rlaif.critic.modes.base import ORDERS, Mode, Orders, Reading
from rlaif.critic.sampled import counted
from rlaif.critic.store import Answer, KeyStem, fixed, key, key_of
from rlaif.critic.templates import Shot, Template
from rlaif.critic.verdict import MIN_MASS, Failure, Verdict
from rlaif.data.rows import Row, Turn
from rlaif.engines.base import ANSWER, THOUGHT, Message, Prompt, Sampling, Segment

REASONS = Sampling(max_tokens=512, temperature=0.0)
"""How a rationale is drawn unless the user says otherwise: greedily, as in Lee et al. 2023 §2."""


class Question(NamedTuple):
    """One call to the critic. ``key`` names everything that could change its answer. vote: which of several rationales."""

    key: bytes
    wording: str
    conversation: tuple[Turn, ...]
    responses: tuple[tuple[Turn, ...], ...]
    shots: tuple[Shot, ...] = ()
    vote: int = 0


class Asked(NamedTuple):
    """What one verdict needs: the principle, and its questions in the order that ``Judge.verdict`` expects answers.

    shown: for each response of the subject, its place among the different ones as they are listed: those that are the same are
    shown once, and where all are, nothing is asked.
    """

    principle: Principle
    questions: tuple[Question, ...]
    shown: tuple[int, ...]


@dataclass(frozen=True)
class Judge:
    """identity: the engine's. aggregate: the constitution's own, or what the user put in its place.

    shots: worked examples shown before each comparison, from the principle's own. reasons: how rationales are drawn, with a
    template that asks for them. votes: rationales per order; the verdict is the mean of theirs. clamp: see ``comparison``.
    thinking: tokens within which the critic thinks before its label is read, whether it came to an end or not; 0 for none.
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
    thinking: int = 0

    @cached_property
    def mode(self) -> Mode[Any]:
        """What the template asks."""
        mode: Mode[Any] = MODES[self.template.mode]
        return mode

    def ask(self, row: Row, subject: tuple[int, ...], principles: Sequence[Principle] | None = None) -> list[Asked]:
        """Questions about ``subject``, indices of the row's responses (see ``Mode.subjects``).

        principles: what to ask about instead of all that applies.
        """
        responses = [row.responses[index].turns for index in subject]
        different = tuple(turns for number, turns in enumerate(responses) if turns not in responses[:number])
        if self.orders != "both" and self._reversed(row.conversation, different):
            different = different[::-1]
        shown = tuple(different.index(turns) for turns in responses)
        orders = ORDERS[self.orders] if len(different) > 1 else (False,) if len(subject) == 1 else ()
        listed = [different[::-1] if swapped else different for swapped in orders]
        spelled, conversation = {id(turns): fixed(turns) for turns in different}, fixed(row.conversation)
        samples = [
            (texts, key_of((conversation, f"[{','.join(spelled[id(turns)] for turns in texts)}]")).hex()) for texts in listed
        ]
        return [
            Asked(principle, self._questions(principle, row.conversation, samples), shown)
            for principle in (self._principles(row, subject) if principles is None else principles)
        ]

    def both_orders(
        self, principle: Principle, conversation: tuple[Turn, ...], first: tuple[Turn, ...], second: tuple[Turn, ...]
    ) -> Asked:
        """Questions about two responses, shown both ways by a judge that asks in both orders, even where they are the same."""
        samples = [(listed, key(conversation, listed).hex()) for listed in ((first, second), (second, first))]
        return Asked(principle, self._questions(principle, conversation, samples), (0, 1))

    def prompt(self, question: Question, rationale: str | None = None) -> Prompt:
        """What the critic reads; with a rationale of its own, what it reads after having given it."""
        told = None if self.thinking else rationale
        prompt = self.template.render(question.wording, question.conversation, question.responses, question.shots, told)
        if not self.thinking or rationale is None:
            return prompt
        thought = Message(THOUGHT, (Segment(rationale, False),))
        return (*prompt[:-1], thought, prompt[-1]) if prompt[-1].role == ANSWER else (*prompt, thought)

    @property
    def writes_first(self) -> bool:
        """Whether the critic writes a text, its reasons or its thoughts, before each label."""
        return bool(self.template.then) or self.thinking > 0

    def drawing(self, question: Question) -> Sampling:
        """How the text is drawn that the critic writes first: the mode's answer where that is a text, else a rationale."""
        reasons = replace(self.reasons, seed=self.reasons.seed + question.vote)
        return self.mode.drawing(len(question.responses)) or reasons

    def verdict(
        self, answers: Sequence[Answer], rationales: Sequence[str | None] = (), shown: Sequence[int] = (0, 1)
    ) -> Verdict | Failure:
        """The verdict from the answers to one ``Asked``.

        rationales: the reasons that each answer followed, None where it followed none. shown: see ``Asked``.
        """
        if self.sampled:
            answers = [counted(answer, self.template.choices) if isinstance(answer, list) else answer for answer in answers]
        verdict: Verdict | Failure = self.mode.read(answers, rationales, shown, self._reading)
        return verdict

    @cached_property
    def _reading(self) -> Reading:
        return Reading(self.orders, self.min_mass, self.clamp)

    def _reversed(self, conversation: Sequence[Turn], different: Sequence[Sequence[Turn]]) -> bool:
        """Whether single-order questions (``ab``; of ``ba``, the other way) list these responses last to first.

        Drawn from the seed and the texts alone. A dataset's own order can hold the answer, such as ``chosen`` before
        ``rejected``, and so must say nothing about which response stands first.
        """
        ends = [key(turns) for turns in (different[0], different[-1])]
        coin = key("order", self.seed, conversation, sorted(end.hex() for end in ends))[-1] % 2 == 1
        return coin != (ends[0] > ends[1])

    def _principles(self, row: Row, subject: tuple[int, ...]) -> list[Principle]:
        applying = [principle for principle in self.constitution.principles if principle.applies(row.extra)]
        if self.aggregate != "sampled" or not any(principle.weight > 0 for principle in applying):
            return applying
        # Scores of one row must be by the same principle to be comparable, so only a pair's own indices enter the draw.
        of = subject if len(subject) == 2 else ()
        return [applying[draw([principle.weight for principle in applying], self.seed, row.id, of)]]

    def _questions(
        self, principle: Principle, conversation: tuple[Turn, ...], samples: Sequence[tuple[tuple[tuple[Turn, ...], ...], str]]
    ) -> tuple[Question, ...]:
        """The questions of every vote. samples: the responses in each order that is asked, and the key of the texts."""
        wording, stem = self._worded(principle)
        examples = shots(principle, self.template.choices, self.shots, conversation)
        if examples:
            named = [key(self.identity, self.template.digest, wording, digest, ["shots", examples]) for _, digest in samples]
        else:
            named = [stem.key(digest) for _, digest in samples]
        once = [Question(name, wording, conversation, shown, examples) for name, (shown, _) in zip(named, samples, strict=True)]
        if self.votes == 1 and not self.writes_first:
            return tuple(once)
        return tuple(self._vote(question, vote) for vote in range(self.votes) for question in once)

    @cached_property
    def _worded(self) -> Callable[[Principle], tuple[str, KeyStem]]:
        """A principle as it stands in the prompt, and what the keys of all questions by it begin with."""

        def worded(principle: Principle) -> tuple[str, KeyStem]:
            wording = self.template.wording(principle.text, principle.wordings.get(self.template.mode))
            return wording, KeyStem(self.identity, self.template.digest, wording)

        return lru_cache(maxsize=1024)(worded)

    def _vote(self, question: Question, vote: int) -> Question:
        """The question once more, for another rationale. Greedy ones are all alike, and whatever the seed."""
        if self.thinking:
            return question._replace(key=key(question.key.hex(), "thinking", self.thinking), vote=vote)
        if not self.template.then:
            return question
        drawn = (self.reasons.temperature, self.reasons.top_p, self.reasons.seed, vote) if self.reasons.temperature else ()
        return question._replace(key=key(question.key.hex(), "reasons", self.reasons.max_tokens, drawn), vote=vote)


def in_cache_order(asked: Sequence[Asked]) -> list[Question]:
    """All questions about one sample, those that share a prompt's beginning side by side: by order, then by principle."""
    return [question for same_order in zip(*(item.questions for item in asked), strict=True) for question in same_order]
