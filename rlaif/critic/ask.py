"""A critic at work: its questions go to the store first, what is not there to the engine, and the answers back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from rlaif.critic.answers import fresh_answers
from rlaif.critic.judge import Asked, Judge, Question
from rlaif.critic.store import Answer, VerdictStore, key
from rlaif.critic.verdict import Comparison, Failure, Ranking, Score
from rlaif.engines.base import Choice, Engine, FailureReason, Generation


@dataclass
class Replies:
    """answers, rationales: by question. asked: questions that went to the engine."""

    answers: dict[bytes, Answer] = field(default_factory=dict)
    rationales: dict[bytes, Generation] = field(default_factory=dict)
    asked: int = 0

    def add(self, other: Replies) -> None:
        """Take in what others were answered."""
        self.answers |= other.answers
        self.rationales |= other.rationales
        self.asked += other.asked

    def tokens(self, questions: Iterable[Question]) -> tuple[int, int]:
        """Tokens that the critic read and wrote in answer to ``questions``, rationales included, where the engine counts."""
        read = written = 0
        for question in questions:
            answer, rationale = self.answers[question.key], self.rationales.get(question.key)
            for text in (answer[0] if isinstance(answer, list) else None, rationale):
                read += text.prompt_tokens if text else 0
                written += len(text.token_ids) if text else 0
            read += answer.prompt_tokens if isinstance(answer, Choice) else 0
        return read, written


@dataclass(frozen=True)
class Critic:
    """Who answers, how it is asked and read, and where its answers are kept."""

    engine: Engine
    judge: Judge
    store: VerdictStore

    async def ask(self, questions: Iterable[Question]) -> Replies:
        """The answer to every question, and the rationale that it followed where the judge asks for reasons."""
        wanted = {question.key: question for question in questions}
        answers = self.store.get(list(wanted))
        missing = [question for name, question in wanted.items() if name not in answers]
        reasons = await self._reasons(list(wanted.values())) if self.judge.template.then else {}
        unreasoned = {name: reason for name, reason in reasons.items() if isinstance(reason, Failure)}
        rationales = {name: reason for name, reason in reasons.items() if isinstance(reason, Generation)}
        fresh = await self._fresh([question for question in missing if question.key not in unreasoned], rationales)
        self.store.put(unreasoned.items())
        return Replies(answers | fresh | unreasoned, rationales, len(missing))

    def verdict(self, asked: Asked, replies: Replies) -> Comparison | Score | Ranking | Failure:
        """The judge's reading of the answers to ``asked``."""
        answers = [replies.answers[question.key] for question in asked.questions]
        reasons = [replies.rationales.get(question.key) for question in asked.questions]
        rationales = [None if reason is None else reason.text for reason in reasons]
        return self.judge.verdict(answers, rationales, len(asked.questions[0].responses))

    async def _fresh(self, questions: Sequence[Question], rationales: dict[bytes, Generation]) -> dict[bytes, Answer]:
        if self.judge.template.mode == "rank":
            return await self._generated([(question.key, question) for question in questions])
        told = {name: rationale.text for name, rationale in rationales.items()}
        prompts = {question.key: self.judge.prompt(question, told.get(question.key)) for question in questions}
        choices = self.judge.template.choices
        return await fresh_answers(self.engine, prompts, lambda some: self.engine.choose(some, choices), self.store)

    async def _reasons(self, questions: Sequence[Question]) -> dict[bytes, Generation | Failure]:
        """The rationale of each question, by the question's key: as stored, else drawn now and stored before it is used."""
        names = {question.key: key("rationale", question.key.hex()) for question in questions}
        found = self.store.get(list(names.values()))
        found |= await self._generated([(names[q.key], q) for q in questions if names[q.key] not in found])
        reasons: dict[bytes, Generation | Failure] = {}
        for question, name in names.items():
            answer = found[name]
            assert isinstance(answer, list | Failure)
            reasons[question] = whole(answer[0], self.judge.reasons.max_tokens) if isinstance(answer, list) else answer
        return reasons

    async def _generated(self, named: Sequence[tuple[bytes, Question]]) -> dict[bytes, Answer]:
        """What the critic writes in answer to each question, under the name it is given; one call for each way of drawing."""
        ways: dict[str, list[tuple[bytes, Question]]] = {}
        for name, question in named:
            ways.setdefault(repr(self.judge.drawing(question)), []).append((name, question))
        written: dict[bytes, Answer] = {}
        for group in ways.values():
            prompts = {name: self.judge.prompt(question) for name, question in group}
            drawing = self.judge.drawing(group[0][1])
            written |= await fresh_answers(self.engine, prompts, partial(self.engine.generate, sampling=drawing), self.store)
        return written


def whole(rationale: Generation, most: int) -> Generation | Failure:
    """The rationale, unless it was cut or says nothing: the verdict that would follow it is not the critic's reasoned one."""
    if rationale.finish == "length":
        return Failure(FailureReason.TRUNCATED, f"rationale: longer than {most} tokens (--reasons-tokens)")
    return rationale if rationale.text.strip() else Failure(FailureReason.PARSE_FAILED, "rationale: empty")
