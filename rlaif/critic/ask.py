"""A critic at work: its questions go to the store first, what is not there to the engine, and the answers back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rlaif.critic.judge import Asked, Judge, Question
from rlaif.critic.store import Answer, VerdictStore, key
from rlaif.critic.verdict import Failure, Verdict
from rlaif.engines.base import Choice, Engine, Generation, Sampling


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
        answers, asked = await self.store.ask(wanted, self._answered)
        return Replies(answers, await self._rationales(wanted, answers) if self.judge.template.then else {}, asked)

    def verdict(self, asked: Asked, replies: Replies) -> Verdict | Failure:
        """The judge's reading of the answers to ``asked``."""
        answers = [replies.answers[question.key] for question in asked.questions]
        reasons = [replies.rationales.get(question.key) for question in asked.questions]
        return self.judge.verdict(answers, [None if reason is None else reason.text for reason in reasons], asked.shown)

    async def _answered(self, questions: Sequence[Question]) -> list[Answer]:
        """The engine's answer to each question, after a rationale where the judge asks for one; without that, its failure."""
        if self.judge.mode.drawing(len(questions[0].responses)):
            return await self._written(questions)
        reasons = await self._reasons(questions) if self.judge.template.then else {}
        answers: dict[bytes, Answer] = {}
        prompts = {}
        for question in questions:
            reason = reasons.get(question.key)
            if isinstance(reason, Failure):
                answers[question.key] = reason
            else:
                prompts[question.key] = self.judge.prompt(question, reason[0].text if isinstance(reason, list) else None)
        chosen = await self.engine.choose(list(prompts.values()), self.judge.template.choices) if prompts else []
        answers |= zip(prompts, chosen, strict=True)
        return [answers[question.key] for question in questions]

    async def _written(self, questions: Sequence[Question]) -> list[Answer]:
        """What the critic writes first in answer to each question; one call for each way of drawing."""
        ways: dict[Sampling, list[Question]] = {}
        for question in questions:
            ways.setdefault(self.judge.drawing(question), []).append(question)
        written: dict[bytes, Answer] = {}
        for sampling, alike in ways.items():
            prompts = [self.judge.prompt(question) for question in alike]
            texts = await self.engine.generate(prompts, sampling)
            written |= zip((question.key for question in alike), texts, strict=True)
        return [written[question.key] for question in questions]

    async def _reasons(self, questions: Iterable[Question]) -> dict[bytes, Answer]:
        """What the critic writes before its answer to each question, by the question's key."""
        names = {_rationale(question.key): question for question in questions}
        written = await self.store.ask(names, self._written)
        return {question.key: written.answers[name] for name, question in names.items()}

    async def _rationales(
        self, questions: Mapping[bytes, Question], answers: Mapping[bytes, Answer]
    ) -> dict[bytes, Generation]:
        """The rationales that came before ``answers``; where the store has lost one that an answer followed, once more."""
        names = {_rationale(name): name for name in questions}
        kept = self.store.get(list(names))
        lost = [name for name in names if name not in kept and not isinstance(answers[names[name]], Failure)]
        kept |= (await self.store.ask({name: questions[names[name]] for name in lost}, self._written)).answers
        return {names[name]: reason[0] for name, reason in kept.items() if isinstance(reason, list)}


def _rationale(name: bytes) -> bytes:
    """The key of the rationale before the answer that is kept under ``name``."""
    return key("rationale", name.hex())
