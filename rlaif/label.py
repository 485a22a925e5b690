"""The labelling pipeline: read → plan → ask → aggregate → write.

Rows stream through in chunks. A chunk's questions that no answer is stored for go to the engine in one call and come back
into the store in one transaction; several chunks are under way at once, so that the engine never waits for the reader, and
they are written in input order. The store is the only memory of progress: a run that was killed is continued by doing it
again, and because a chunk is asked whole or not at all, an engine that answers the same call the same way makes the same
files, byte for byte.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from rlaif.critic.aggregate import Opinion, preference, reward
from rlaif.critic.judge import Asked, Judge, Question, in_cache_order
from rlaif.critic.pairs import pairs
from rlaif.critic.records import Judged, preference_record, score_record
from rlaif.critic.score import p_better
from rlaif.critic.store import Answer, VerdictStore
from rlaif.critic.verdict import Comparison, Failure, FailureReason, Score
from rlaif.data.rows import BadRow, Row
from rlaif.engines.base import Choice, Engine
from rlaif.errors import RunFailed
from rlaif.sample import Policy, with_responses

CHUNK_QUESTIONS = 512
LOOK_AHEAD = 4
"""Chunks under way at once: what bounds memory, and what keeps the engine busy."""
FIRST_JUDGEMENT = 100
"""Verdicts, failed ones included, before the failure rate is held against its limit."""


class Writer(Protocol):
    def write(self, record: dict[str, Any]) -> None: ...


class Sink(NamedTuple):
    """Where a run's records go. scores: None in compare mode. chunk: called after each chunk with the counts so far."""

    preferences: Writer
    failures: Writer
    scores: Writer | None
    chunk: Callable[[Counts], None]


@dataclass
class Counts:
    """rows_in: rows read. rows_out: preference records written. rows_failed: rows that could not be used, and pairs (in
    score mode responses) of which no principle has a verdict. verdicts, failed: per pair or response and principle.
    asked, cached: questions put to the engine, and answered without. cut: verdicts on a shortened sample."""

    rows_in: int = 0
    rows_out: int = 0
    rows_failed: int = 0
    verdicts: int = 0
    asked: int = 0
    cached: int = 0
    failed: int = 0
    cut: int = 0
    prompt_tokens: int = 0

    @property
    def failure_rate(self) -> float:
        return self.failed / max(1, self.verdicts + self.failed)


class Item(NamedTuple):
    """A row, and what is asked about each of its pairs (score mode: each of its responses)."""

    row: Row
    subjects: list[tuple[tuple[int, ...], list[Asked]]]


@dataclass
class Chunk:
    entries: list[BadRow | Item] = field(default_factory=list)
    questions: dict[bytes, Question] = field(default_factory=dict)
    borrowed: dict[bytes, Chunk] = field(default_factory=dict)
    """Questions that an earlier chunk, still under way, is asking already."""
    answers: dict[bytes, Answer] = field(default_factory=dict)
    asked: int = 0
    size: int = 0

    def answer(self, question: Question) -> Choice | Failure:
        owner = self.borrowed.get(question.key, self)
        found = owner.answers[question.key]
        assert isinstance(found, Choice | Failure)
        return found


@dataclass(frozen=True)
class Labeller:
    """Everything a run needs but its input and output. schedule: which pairs, see ``critic.pairs``."""

    engine: Engine
    judge: Judge
    store: VerdictStore
    schedule: str = "all"
    policy: Policy | None = None
    max_failure_rate: float = 0.2

    async def run(self, rows: Iterable[Row | BadRow], sink: Sink, counts: Counts) -> None:
        """Label ``rows`` into ``sink``, counting in ``counts``.

        Raises RunFailed when the failure rate passes its limit (checked from the hundredth verdict on, and at the end, when
        all has been written) or the engine is gone.
        """
        flying: deque[tuple[Chunk, asyncio.Task[None]]] = deque()
        pending: dict[bytes, Chunk] = {}
        try:
            async for chunk in self._chunks(rows):
                if len(flying) == LOOK_AHEAD:
                    await self._finish(flying, pending, sink, counts)
                self._borrow(chunk, pending)
                flying.append((chunk, asyncio.create_task(self._solve(chunk))))
                await asyncio.sleep(0)  # the chunk reaches the engine before the next one is planned
            while flying:
                await self._finish(flying, pending, sink, counts)
        finally:
            for _, task in flying:
                task.cancel()
            await asyncio.gather(*(task for _, task in flying), return_exceptions=True)
        self._check(counts, 1)
        if counts.rows_in and not counts.verdicts:
            raise RunFailed(f"none of the {counts.rows_in} rows could be judged; failures.jsonl has the reasons")

    def plan(self, row: Row | BadRow) -> BadRow | Item:
        """What is asked about a row; a BadRow where nothing can be."""
        if isinstance(row, BadRow):
            return row
        n, mode = len(row.responses), self.judge.template.mode
        if n == 0:
            return BadRow(row.number, "the row has a prompt and no responses; --policy says whom to sample them from")
        if n == 1 and mode == "compare":
            return BadRow(row.number, "the row has one response; to compare takes two (or use --mode score)")
        subjects: list[tuple[int, ...]]
        subjects = [*pairs(self.schedule, n, self.judge.seed, row.id)] if mode == "compare" else [(i,) for i in range(n)]
        planned = [(subject, self.judge.ask(row, subject)) for subject in subjects]
        if not all(asked for _, asked in planned):
            return BadRow(row.number, "no principle of the constitution applies to this row (see `when`)")
        return Item(row, planned)

    async def _chunks(self, rows: Iterable[Row | BadRow]) -> AsyncIterator[Chunk]:
        chunk = Chunk()
        async for row in with_responses(rows, self.policy, self.store):
            entry = self.plan(row)
            chunk.entries.append(entry)
            chunk.size += 1
            if isinstance(entry, Item):
                for _, asked in entry.subjects:
                    found = in_cache_order(asked)
                    chunk.questions.update((question.key, question) for question in found)
                    chunk.size += len(found)
            if chunk.size >= CHUNK_QUESTIONS:
                yield chunk
                chunk = Chunk()
        if chunk.entries:
            yield chunk

    def _borrow(self, chunk: Chunk, pending: dict[bytes, Chunk]) -> None:
        chunk.borrowed = {name: pending[name] for name in chunk.questions if name in pending}
        for name in chunk.questions:
            pending.setdefault(name, chunk)

    async def _solve(self, chunk: Chunk) -> None:
        own = [name for name in chunk.questions if name not in chunk.borrowed]
        chunk.answers = self.store.get(own)
        missing = [name for name in own if name not in chunk.answers]
        if missing:
            prompts = [self.judge.prompt(chunk.questions[name]) for name in missing]
            fresh = dict(zip(missing, await self.engine.choose(prompts, self.judge.template.choices), strict=True))
            self.store.put(fresh.items())
            chunk.answers.update(fresh)
        chunk.asked = len(missing)

    async def _finish(
        self, flying: deque[tuple[Chunk, asyncio.Task[None]]], pending: dict[bytes, Chunk], sink: Sink, counts: Counts
    ) -> None:
        chunk, task = flying[0]
        await task
        flying.popleft()
        self._write(chunk, sink, counts)
        chunk.borrowed.clear()  # or each chunk would keep its predecessor alive
        for name in chunk.questions:
            if pending.get(name) is chunk:
                del pending[name]
        sink.chunk(counts)
        self._check(counts, FIRST_JUDGEMENT)

    def _check(self, counts: Counts, least: int) -> None:
        if counts.verdicts + counts.failed >= least and counts.failure_rate > self.max_failure_rate:
            raise RunFailed(
                f"{counts.failed} of {counts.verdicts + counts.failed} verdicts failed ({counts.failure_rate:.0%}), more than "
                f"--max-failure-rate {self.max_failure_rate:g}; failures.jsonl has the reasons"
            )

    def _write(self, chunk: Chunk, sink: Sink, counts: Counts) -> None:
        planned = 0
        for entry in chunk.entries:
            counts.rows_in += 1
            if isinstance(entry, BadRow):
                counts.rows_failed += 1
                sink.failures.write(_failure(entry.number, None, None, None, FailureReason.BAD_ROW, entry.detail))
                continue
            judged: dict[tuple[int, ...], Judged] = {}
            for subject, asked in entry.subjects:
                planned += sum(len(item.questions) for item in asked)
                judged[subject] = self._judge(entry.row, subject, asked, chunk, sink, counts)
            self._write_row(entry.row, judged, sink, counts)
        counts.asked += chunk.asked
        counts.cached += planned - chunk.asked

    def _judge(
        self, row: Row, subject: tuple[int, ...], asked: list[Asked], chunk: Chunk, sink: Sink, counts: Counts
    ) -> Judged:
        judged = []
        for item in asked:
            answers = [chunk.answer(question) for question in item.questions]
            verdict = self.judge.verdict(answers)
            counts.prompt_tokens += sum(answer.prompt_tokens for answer in answers if isinstance(answer, Choice))
            if isinstance(verdict, Failure):
                counts.failed += 1
                sink.failures.write(_failure(row.number, row.id, item.principle.id, subject, verdict.reason, verdict.detail))
            else:
                counts.verdicts += 1
                counts.cut += verdict.cut > 0
            judged.append((item.principle, verdict))
        return judged

    def _write_row(self, row: Row, judged: dict[tuple[int, ...], Judged], sink: Sink, counts: Counts) -> None:
        how = self.judge.aggregate
        if sink.scores is not None:
            for (index, *_), verdicts in judged.items():
                value = reward(_opinions(verdicts), how)
                if value is None:
                    counts.rows_failed += 1
                else:
                    sink.scores.write(score_record(row, index, value, verdicts, self.judge.identity))
            judged = {
                (i, j): _compared(judged[(i,)], judged[(j,)])
                for i, j in pairs(self.schedule, len(row.responses), self.judge.seed, row.id)
            }
        for (i, j, *_), verdicts in judged.items():
            p = preference(_opinions(verdicts), how)
            if p is not None:
                record = preference_record(row, (i, j), p, verdicts, self.judge.constitution, self.judge.identity)
                sink.preferences.write(record)
                counts.rows_out += 1
            elif sink.scores is None:
                counts.rows_failed += 1


def _opinions(verdicts: Judged) -> list[Opinion]:
    return [Opinion(_value(verdict), principle.weight, principle.gate) for principle, verdict in verdicts]


def _value(verdict: Comparison | Score | Failure) -> float | None:
    if isinstance(verdict, Failure):
        return None
    return verdict.p if isinstance(verdict, Comparison) else verdict.score


def _compared(first: Judged, second: Judged) -> Judged:
    """Two responses' scores as verdicts on the pair: per principle, the probability that the first has the better label."""
    compared: list[tuple[Any, Comparison | Failure]] = []
    for (principle, one), (_, other) in zip(first, second, strict=True):
        if isinstance(one, Score) and isinstance(other, Score):
            p = p_better(one.distribution, other.distribution)
            both = Comparison(p, None, min(one.mass, other.mass), one.raw + other.raw, max(one.cut, other.cut))
            compared.append((principle, both))
        else:
            compared.append((principle, one if isinstance(one, Failure) else other))  # type: ignore[arg-type]
    return compared


def _failure(
    number: int, name: str | None, principle: str | None, pair: tuple[int, ...] | None, reason: FailureReason, detail: str
) -> dict[str, Any]:
    return {
        "row": number,
        "id": name,
        "principle": principle,
        "pair": list(pair) if pair else None,
        "reason": str(reason),
        "detail": detail,
    }
