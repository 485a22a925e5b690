"""A critic at work: its questions go to the store first, what is not there to the engine, and the answers back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rlaif.critic.answers import answered
from rlaif.critic.judge import Asked, Judge, Question
from rlaif.critic.store import Answer, VerdictStore, key
from rlaif.critic.verdict import Failure, Verdict
from rlaif.engines.base import Choice, Engine, FailureReason, Generation, Prompt, Sampling


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
            answer = self.answers[question.key]
            if isinstance(answer, list):
                read += answer[0].prompt_tokens  # several draws share the prompt
                written += sum(len(text.token_ids) for text in answer)
            elif isinstance(answer, Choice):
                read += answer.prompt_tokens
            if rationale := self.rationales.get(question.key):
                read += rationale.prompt_tokens
                written += len(rationale.token_ids)
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
        answers, asked = await answered(self.engine, wanted, self._answered, self.store, _sample)
        if not self.judge.writes_first:
            return Replies(answers, asked=asked)
        reasons = await self._reasons(
            {name: question for name, question in wanted.items() if not isinstance(answers[name], Failure)}
        )
        unreasoned = {name: reason for name, reason in reasons.items() if isinstance(reason, Failure)}
        rationales = {name: reason for name, reason in reasons.items() if isinstance(reason, Generation)}
        return Replies(answers | unreasoned, rationales, asked)

    def verdict(self, asked: Asked, replies: Replies) -> Verdict | Failure:
        """The judge's reading of the answers to ``asked``."""
        answers = [replies.answers[question.key] for question in asked.questions]
        if not replies.rationales:
            return self.judge.verdict(answers, (), asked.shown)
        reasons = [replies.rationales.get(question.key) for question in asked.questions]
        return self.judge.verdict(answers, [None if reason is None else reason.text for reason in reasons], asked.shown)

    async def _answered(self, questions: Sequence[Question]) -> list[Answer]:
        """The engine's answer to each question, after a rationale where the judge asks for one; without that, its failure."""
        if self.judge.mode.drawing(len(questions[0].responses)):
            return await self._written(questions)
        reasons = await self._reasons({question.key: question for question in questions}) if self.judge.writes_first else {}
        answers: dict[bytes, Answer] = {name: reason for name, reason in reasons.items() if isinstance(reason, Failure)}
        rationales = {name: reason.text for name, reason in reasons.items() if isinstance(reason, Generation)}
        ready = [question for question in questions if question.key not in answers]
        prompts = [self.judge.prompt(question, rationales.get(question.key)) for question in ready]
        labels = await self._labels(prompts) if prompts else []
        answers |= {question.key: label for question, label in zip(ready, labels, strict=True)}
        return [answers[question.key] for question in questions]

    async def _labels(self, prompts: Sequence[Prompt]) -> Sequence[Answer]:
        """What the engine says where a label belongs."""
        if self.judge.sampled:
            return await self.engine.generate(prompts, self.judge.sampled)
        return await self.engine.choose(prompts, self.judge.template.choices)

    async def _written(self, questions: Sequence[Question]) -> list[Answer]:
        """What the critic writes first in answer to each question; one call for each way of drawing."""
        ways: dict[Sampling, list[Question]] = {}
        for question in questions:
            ways.setdefault(self.judge.drawing(question), []).append(question)
        written: dict[bytes, Answer] = {}
        for sampling, alike in ways.items():
            texts = await self.engine.generate([self.judge.prompt(question) for question in alike], sampling)
            written |= zip((question.key for question in alike), texts, strict=True)
        return [written[question.key] for question in questions]

    async def _reasons(self, questions: Mapping[bytes, Question]) -> dict[bytes, Generation | Failure]:
        """The rationale of each question, by the question's key."""
        names = {key("rationale", name.hex()): name for name in questions}
        wanted = {name: questions[of] for name, of in names.items()}
        written = await answered(self.engine, wanted, self._written, self.store, _sample)
        reasons: dict[bytes, Generation | Failure] = {}
        for name, answer in written.answers.items():
            assert isinstance(answer, list | Failure)
            if (
                isinstance(answer, Failure) or self.judge.thinking
            ):  # thoughts that were cut, or empty, are followed all the same
                reasons[names[name]] = answer if isinstance(answer, Failure) else answer[0]
            else:
                reasons[names[name]] = whole(answer[0], self.judge.reasons.max_tokens)
        return reasons


def _sample(question: Question) -> object:
    """What a judge's neighbouring questions are about: those of one order, whose prompts differ in the principle alone."""
    return id(question.responses)


def whole(rationale: Generation, most: int) -> Generation | Failure:
    """The rationale, unless it was cut or says nothing: the verdict that would follow it is not the critic's reasoned one."""
    if rationale.finish == "length":
        return Failure(FailureReason.TRUNCATED, f"rationale: longer than {most} tokens (--reasons-tokens)")
    return rationale if rationale.text.strip() else Failure(FailureReason.PARSE_FAILED, "rationale: empty")
