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
from typing import NamedTuple, Protocol, TypeVar

from rlaif.constitution.types import Principle
from rlaif.critic.aggregate import Opinion, preference, reward
from rlaif.critic.ask import Critic, Replies
from rlaif.critic.examples import Known, margin
from rlaif.critic.judge import Asked, Judge, Question, in_cache_order
from rlaif.critic.jury import Found, agreed, agreed_score, on_pair
from rlaif.critic.modes.rank import MOST
from rlaif.critic.pairs import ADAPTIVE, next_pairs, pairs
from rlaif.critic.store import VerdictStore
from rlaif.critic.verdict import Comparison, Failure, FailureReason, Score
from rlaif.data.columns import Record
from rlaif.data.records import CanaryRecord, FailureRecord, PreferenceRecord, ScoreRecord
from rlaif.data.rows import BadRow, Row
from rlaif.engines.base import Engine
from rlaif.errors import RunFailed
from rlaif.label.records import Judged, canary_record, failure_record, preference_record, score_record
from rlaif.sample.policy import Policy, with_responses

CHUNK_QUESTIONS = 512
LOOK_AHEAD = 4
"""Chunks under way at once: what bounds memory, and what keeps the engine busy."""
FIRST_JUDGEMENT = 100
"""Verdicts, failed ones included, before the failure rate is held against its limit."""


Verdicts = dict[Principle, dict[tuple[int, ...], list[Found]]]
"""Of one row: by principle and subject, one per critic."""


R_contra = TypeVar("R_contra", bound=Record, contravariant=True)


class Writer(Protocol[R_contra]):
    def write(self, record: R_contra) -> None: ...


class Sink(NamedTuple):
    """Where a run's records go. scores: None but in score mode. chunk: called after each chunk with the counts so far.
    canaries: what the critic said of known rows."""

    preferences: Writer[PreferenceRecord]
    failures: Writer[FailureRecord]
    scores: Writer[ScoreRecord] | None
    chunk: Callable[[Counts], None]
    canaries: Writer[CanaryRecord] | None = None


@dataclass
class Counts:
    """rows_in: rows read. rows_out: preference records written. rows_failed: rows that could not be used. unjudged: pairs
    (in score mode responses) of which no principle has a verdict. verdicts, failed: those that are there and those that are
    missing, per pair, response or list, principle and critic. asked, cached: questions put to the engine, and answered
    without. cut: verdicts on a shortened sample. canaries, canaries_right: known rows with a verdict, and those of them
    with the right one. principles: ``verdicts`` and ``failed`` by principle."""

    rows_in: int = 0
    rows_out: int = 0
    rows_failed: int = 0
    unjudged: int = 0
    verdicts: int = 0
    asked: int = 0
    cached: int = 0
    failed: int = 0
    cut: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    canaries: int = 0
    canaries_right: int = 0
    principles: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def failure_rate(self) -> float:
        return self.failed / max(1, self.verdicts + self.failed)


class Subject(NamedTuple):
    """What is asked about a pair of a row's responses, one of them, or all. by_critic: what each critic is asked of it."""

    indices: tuple[int, ...]
    by_critic: list[list[Asked]]


class Item(NamedTuple):
    """A row, and what is asked about it; of a schedule in rounds, so far."""

    row: Row
    subjects: list[Subject]


@dataclass
class Chunk:
    """questions: by key, with the number of the critic they are for."""

    entries: list[BadRow | Item] = field(default_factory=list)
    questions: dict[bytes, tuple[int, Question]] = field(default_factory=dict)
    borrowed: dict[bytes, Chunk] = field(default_factory=dict)
    """Questions that an earlier chunk, still under way, is asking already."""
    replies: Replies = field(default_factory=Replies)
    size: int = 0

    def take(self, subjects: Iterable[Subject]) -> int:
        """Note the subjects' questions; returns how many there are, repeated ones included."""
        total = 0
        for subject in subjects:
            for number, asked in enumerate(subject.by_critic):
                found = in_cache_order(asked)
                self.questions.update((question.key, (number, question)) for question in found)
                total += len(found)
        return total

    def collect(self) -> None:
        """Take over the answers to what was borrowed, and let go of who gave them."""
        for name, owner in self.borrowed.items():
            self.replies.answers[name] = owner.replies.answers[name]
            if name in owner.replies.rationales:
                self.replies.rationales[name] = owner.replies.rationales[name]
        self.borrowed.clear()  # or each chunk would keep its predecessor alive


@dataclass(frozen=True)
class Labeller:
    """Everything a run needs but its input and output. schedule: which pairs, see ``critic.pairs``. jury: critics besides
    the first, who judge the same pairs by the same constitution."""

    engine: Engine
    judge: Judge
    store: VerdictStore
    schedule: str = "all"
    policy: Policy | None = None
    max_failure_rate: float = 0.2
    jury: tuple[Critic, ...] = ()

    @property
    def critics(self) -> tuple[Critic, ...]:
        return (Critic(self.engine, self.judge, self.store), *self.jury)

    async def run(self, rows: Iterable[Row | BadRow], sink: Sink, counts: Counts) -> None:
        """Label ``rows`` into ``sink``, counting in ``counts``; ``Known`` rows are only counted.

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
        """What is asked about a row (of a schedule in rounds, first); a BadRow where nothing can be."""
        if isinstance(row, BadRow):
            return row
        n, mode = len(row.responses), self.judge.template.mode
        if n == 0:
            return BadRow(row.number, "the row has a prompt and no responses; --policy says whom to sample them from")
        if n == 1 and mode != "score":
            return BadRow(row.number, f"the row has one response; to {mode} takes two (or use --mode score)")
        if n > MOST and mode == "rank":
            return BadRow(row.number, f"the row has {n} responses; a list holds at most {MOST} (or use --pairs swiss)")
        indices: list[tuple[int, ...]] = [tuple(range(n))] if mode == "rank" else [(index,) for index in range(n)]
        if mode == "compare":
            indices = [*pairs(self.schedule, n, self.judge.seed, row.id)]
        subjects = [self._subject(row, some) for some in indices]
        if not all(subject.by_critic[0] for subject in subjects):
            return BadRow(row.number, "no principle of the constitution applies to this row (see `when`)")
        return Item(row, subjects)

    def _subject(self, row: Row, indices: tuple[int, ...]) -> Subject:
        principles = [row.principle] if isinstance(row, Known) else None
        return Subject(indices, [critic.judge.ask(row, indices, principles) for critic in self.critics])

    async def _chunks(self, rows: Iterable[Row | BadRow]) -> AsyncIterator[Chunk]:
        chunk = Chunk()
        async for row in with_responses(rows, self.policy, self.store):
            entry = self.plan(row)
            chunk.entries.append(entry)
            chunk.size += 1 + (chunk.take(entry.subjects) if isinstance(entry, Item) else 0)
            if chunk.size >= CHUNK_QUESTIONS:
                yield chunk
                chunk = Chunk()
        if chunk.entries:
            yield chunk

    def _borrow(self, chunk: Chunk, pending: dict[bytes, Chunk]) -> None:
        if self._in_rounds:
            return  # a round needs its answers before the next is known; what two chunks share is asked by both
        chunk.borrowed = {name: pending[name] for name in chunk.questions if name in pending}
        for name in chunk.questions:
            pending.setdefault(name, chunk)

    @property
    def _in_rounds(self) -> bool:
        return self.schedule in ADAPTIVE and self.judge.template.mode == "compare"

    async def _solve(self, chunk: Chunk) -> None:
        await self._ask(chunk)
        while self._in_rounds and self._next_round(chunk):
            await self._ask(chunk)

    async def _ask(self, chunk: Chunk) -> None:
        """Put what has no answer yet to the critics, all of them at once."""
        critics = self.critics
        wanted: list[list[Question]] = [[] for _ in critics]
        for name, (number, question) in chunk.questions.items():
            if name not in chunk.borrowed and name not in chunk.replies.answers:
                wanted[number].append(question)
        for replies in await asyncio.gather(*(critic.ask(some) for critic, some in zip(critics, wanted, strict=True))):
            chunk.replies.add(replies)

    def _next_round(self, chunk: Chunk) -> int:
        """Add the next round's pairs; returns how many questions they come with."""
        more = 0
        for entry in chunk.entries:
            if isinstance(entry, Item):
                found = self._found(entry, chunk)
                results = {
                    (i, j): preference(_opinions(self._on_pair(found, i, j)), self.judge.aggregate)
                    for i, j in (subject.indices for subject in entry.subjects)
                }
                following = next_pairs(self.schedule, len(entry.row.responses), results, self.judge.seed, entry.row.id)
                fresh = [self._subject(entry.row, pair) for pair in following]
                entry.subjects.extend(fresh)
                more += chunk.take(fresh)
        return more

    async def _finish(
        self, flying: deque[tuple[Chunk, asyncio.Task[None]]], pending: dict[bytes, Chunk], sink: Sink, counts: Counts
    ) -> None:
        chunk, task = flying[0]
        await task
        flying.popleft()
        chunk.collect()
        self._write(chunk, sink, counts)
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
            if isinstance(entry, Item):
                found = self._found(entry, chunk)
                planned += sum(len(one.questions) for subject in entry.subjects for some in subject.by_critic for one in some)
                if isinstance(entry.row, Known):
                    self._write_canary(entry.row, found, sink, counts)
                    continue
                self._count(entry, found, chunk.replies, sink, counts)
                self._write_row(entry, found, sink, counts)
            else:
                counts.rows_failed += 1
                sink.failures.write(failure_record(entry.number, None, None, None, FailureReason.BAD_ROW, entry.detail))
            counts.rows_in += 1
        counts.asked += chunk.replies.asked
        counts.cached += planned - chunk.replies.asked

    def _found(self, item: Item, chunk: Chunk) -> Verdicts:
        """For every principle asked about, its verdicts: by subject, one per critic."""
        found: Verdicts = {}
        for subject in item.subjects:
            for same in zip(*subject.by_critic, strict=True):
                verdicts = [critic.verdict(asked, chunk.replies) for critic, asked in zip(self.critics, same, strict=True)]
                found.setdefault(same[0].principle, {})[subject.indices] = verdicts
        return found

    def _on_pair(self, found: Verdicts, first: int, second: int) -> list[tuple[Principle, Comparison | Failure]]:
        """The jury's verdict on a pair by each principle that was asked of it."""
        return [
            (principle, agreed(on_pair(by_subject, first, second)))
            for principle, by_subject in found.items()
            if self.judge.template.mode != "compare" or (first, second) in by_subject
        ]

    def _count(self, item: Item, found: Verdicts, replies: Replies, sink: Sink, counts: Counts) -> None:
        """Count each critic's verdicts, and list its failures."""
        names = [critic.judge.identity for critic in self.critics]
        for subject in item.subjects:
            for number, asked in enumerate(subject.by_critic):
                for one in asked:
                    verdict = found[one.principle][subject.indices][number]
                    read, written = replies.tokens(one.questions)
                    counts.prompt_tokens += read
                    counts.completion_tokens += written
                    tally = counts.principles.setdefault(one.principle.id, {"verdicts": 0, "failed": 0})
                    tally["failed" if isinstance(verdict, Failure) else "verdicts"] += 1
                    if isinstance(verdict, Failure):
                        counts.failed += 1
                        who = names[number] if len(names) > 1 else None
                        about = (item.row.number, item.row.id, one.principle.id, subject.indices)
                        sink.failures.write(failure_record(*about, verdict.reason, verdict.detail, who))
                    else:
                        counts.verdicts += 1
                        counts.cut += verdict.cut > 0

    def _write_row(self, item: Item, found: Verdicts, sink: Sink, counts: Counts) -> None:
        judge, row, n = self.judge, item.row, len(item.row.responses)
        who = " + ".join(critic.judge.identity for critic in self.critics)
        if sink.scores is not None:
            for index in range(n):
                scored = [(principle, agreed_score(by_subject[index,])) for principle, by_subject in found.items()]
                value = reward(_opinions(scored), judge.aggregate)
                if value is None:
                    counts.unjudged += 1
                else:
                    sink.scores.write(score_record(row, index, value, scored, who))
        compared = judge.template.mode == "compare"
        for i, j in (one.indices for one in item.subjects) if compared else pairs(self.schedule, n, judge.seed, row.id):
            judged = self._on_pair(found, i, j)
            p = preference(_opinions(judged), judge.aggregate)
            if p is not None:
                sink.preferences.write(preference_record(row, (i, j), p, judged, judge.constitution, who))
                counts.rows_out += 1
            elif sink.scores is None:
                counts.unjudged += 1

    def _write_canary(self, row: Known, found: Verdicts, sink: Sink, counts: Counts) -> None:
        verdict = agreed(on_pair(found[row.principle], 0, 1))
        won = margin(row, verdict.p) if isinstance(verdict, Comparison) else None
        counts.canaries += won is not None
        counts.canaries_right += won is not None and won > 0
        if sink.canaries is not None:
            sink.canaries.write(canary_record(row.principle, row.id, won, verdict))


def _opinions(judged: Judged) -> list[Opinion]:
    return [Opinion(_value(verdict), principle.weight, principle.gate) for principle, verdict in judged]


def _value(verdict: Comparison | Score | Failure) -> float | None:
    if isinstance(verdict, Failure):
        return None
    return verdict.p if isinstance(verdict, Comparison) else verdict.score
