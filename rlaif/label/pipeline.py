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
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol, TypeVar

from rlaif.critic.aggregate import opinions, preference, reward
from rlaif.critic.ask import Critic, Replies
from rlaif.critic.calibrated import Calibration
from rlaif.critic.examples import Known, margin
from rlaif.critic.jury import Judged, Jury, Plan, Verdicts
from rlaif.critic.pairs import ADAPTIVE, Pair, next_pairs, pairs
from rlaif.critic.reasons import Noted
from rlaif.critic.verdict import Comparison, Failure, FailureReason
from rlaif.data.columns import Record
from rlaif.data.records import CanaryRecord, FailureRecord, PreferenceRecord, ScoreRecord
from rlaif.data.rows import BadRow, Row
from rlaif.errors import RunFailed
from rlaif.label.records import canary_record, failure_record, preference_record, score_record
from rlaif.sample.policy import PolicySampler, with_responses

CHUNK_QUESTIONS = 512
LOOK_AHEAD = 4 * CHUNK_QUESTIONS
"""Questions under way at once, where the engine does not ask for more (its ``ahead``): what keeps it busy."""
MOST_LETTERS = 1 << 25
"""Of the texts in all questions under way, but for one chunk: what bounds memory."""
FIRST_JUDGEMENT = 100
"""Verdicts, failed ones included, before the failure rate is held against its limit."""


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


class PlannedRow(NamedTuple):
    """A row, which pairs of its responses are labelled, and what is asked for that; of a schedule in rounds, so far."""

    row: Row
    pairs: list[Pair]
    plans: list[Plan]


@dataclass
class Chunk:
    """Rows whose questions go to the critics together. size: rows and questions. letters: of the texts in these."""

    entries: list[BadRow | PlannedRow] = field(default_factory=list)
    replies: Replies = field(default_factory=Replies)
    size: int = 0
    letters: int = 0

    def add(self, entry: BadRow | PlannedRow) -> None:
        self.entries.append(entry)
        calls = _calls(entry.plans) if isinstance(entry, PlannedRow) else 0
        self.size += 1 + calls
        self.letters += calls * _letters(entry.row) if isinstance(entry, PlannedRow) else 0

    @property
    def items(self) -> list[PlannedRow]:
        return [entry for entry in self.entries if isinstance(entry, PlannedRow)]


@dataclass(frozen=True)
class Labeller:
    """Everything a run needs but its input and output. critics: see ``critic.jury``. schedule: which pairs, see
    ``critic.pairs``. calibration: of what is written; which pairs come next goes by the critic's own word."""

    critics: tuple[Critic, ...]
    schedule: str = "all"
    policy: PolicySampler | None = None
    max_failure_rate: float = 0.2
    calibration: Calibration | None = None

    @cached_property
    def jury(self) -> Jury:
        return Jury(self.critics)

    async def run(self, rows: Iterable[Row | BadRow], sink: Sink, counts: Counts) -> None:
        """Label ``rows`` into ``sink``, counting in ``counts``; ``Known`` rows are only counted.

        Raises RunFailed when the failure rate passes its limit (checked from the hundredth verdict on, and at the end, when
        all has been written) or the engine is gone.
        """
        sink = sink._replace(failures=Noted.of(sink.failures))
        flying: deque[tuple[Chunk, asyncio.Task[None]]] = deque()
        try:
            async for chunk in self._chunks(rows):
                while flying and self._enough([earlier for earlier, _ in flying]):
                    await self._finish(flying, sink, counts)
                flying.append((chunk, asyncio.create_task(self._solve(chunk))))
                await asyncio.sleep(0)  # the chunk reaches the engine before the next one is planned
            while flying:
                await self._finish(flying, sink, counts)
        finally:
            for _, task in flying:
                task.cancel()
            await asyncio.gather(*(task for _, task in flying), return_exceptions=True)
        noted = Noted.of(sink.failures)
        self._check(counts, 1, noted)
        if counts.rows_in and not counts.verdicts:
            why = "; ".join(noted.commonest(counts.rows_in, counts.failed))
            raise RunFailed(f"none of the {counts.rows_in} rows could be judged: {why}; failures.jsonl lists them")

    def plan(self, row: Row | BadRow) -> BadRow | PlannedRow:
        """What is asked about a row (of a schedule in rounds, first); a BadRow where nothing can be."""
        if isinstance(row, BadRow):
            return row
        n, mode = len(row.responses), self.jury.mode
        if n == 0:
            return BadRow(row.number, "the row has a prompt and no responses; --policy says whom to sample them from")
        unfit = mode.unfit(n)
        if unfit:
            return BadRow(row.number, unfit)
        labelled = pairs(self.schedule, n, self.jury.judge.seed, row.id)
        plans = self._plans(row, labelled)
        if not all(plan.by_critic[0] for plan in plans):
            return BadRow(row.number, "no principle of the constitution applies to this row (see `when`)")
        return PlannedRow(row, labelled, plans)

    def _enough(self, chunks: Sequence[Chunk]) -> bool:
        """Whether so much is under way that the next chunk has to wait."""
        ahead = max(LOOK_AHEAD, *(getattr(critic.engine, "ahead", 0) for critic in self.critics))
        return sum(chunk.size for chunk in chunks) >= ahead or sum(chunk.letters for chunk in chunks) >= MOST_LETTERS

    @property
    def in_rounds(self) -> bool:
        """Whether what is asked of a row depends on what was answered before."""
        return self.schedule in ADAPTIVE and "rounds" in self.jury.mode.settings

    def _plans(self, row: Row, labelled: Sequence[Pair]) -> list[Plan]:
        principles = [row.principle] if isinstance(row, Known) else None
        return [self.jury.plan(row, subject, principles) for subject in self.jury.mode.subjects(len(row.responses), labelled)]

    async def _chunks(self, rows: Iterable[Row | BadRow]) -> AsyncIterator[Chunk]:
        chunk = Chunk()
        async for row in with_responses(rows, self.policy, self.critics[0].store):
            chunk.add(self.plan(row))
            if chunk.size >= CHUNK_QUESTIONS:
                yield chunk
                chunk = Chunk()
        if chunk.entries:
            yield chunk

    async def _solve(self, chunk: Chunk) -> None:
        plans = [plan for item in chunk.items for plan in item.plans]
        while plans:
            await self.jury.ask(plans, chunk.replies)
            plans = self._next_round(chunk) if self.in_rounds else []

    def _next_round(self, chunk: Chunk) -> list[Plan]:
        """Add the next round's pairs to each row, and return what is asked for them."""
        fresh: list[Plan] = []
        for item in chunk.items:
            verdicts, judge = self.jury.verdicts(item.plans, chunk.replies), self.jury.judge
            results = {pair: preference(opinions(self.jury.on_pair(verdicts, *pair)), judge.aggregate) for pair in item.pairs}
            following = next_pairs(self.schedule, len(item.row.responses), results, judge.seed, item.row.id)
            plans = self._plans(item.row, following)
            item.pairs.extend(following)
            item.plans.extend(plans)
            fresh += plans
        return fresh

    async def _finish(self, flying: deque[tuple[Chunk, asyncio.Task[None]]], sink: Sink, counts: Counts) -> None:
        chunk, task = flying[0]
        await task
        flying.popleft()
        self._write(chunk, sink, counts)
        sink.chunk(counts)
        self._check(counts, FIRST_JUDGEMENT, Noted.of(sink.failures))

    def _check(self, counts: Counts, least: int, noted: Noted) -> None:
        if counts.verdicts + counts.failed >= least and counts.failure_rate > self.max_failure_rate:
            every = counts.verdicts + counts.failed
            raise RunFailed(
                f"{counts.failed} of {every} verdicts failed ({counts.failure_rate:.0%}), more than --max-failure-rate "
                f"{self.max_failure_rate:g}. {noted.verdicts.commonest(every, 'verdicts')}; failures.jsonl lists them"
            )

    def _write(self, chunk: Chunk, sink: Sink, counts: Counts) -> None:
        planned = 0
        for entry in chunk.entries:
            if isinstance(entry, BadRow):
                counts.rows_in += 1
                counts.rows_failed += 1
                sink.failures.write(failure_record(entry.number, None, None, None, FailureReason.BAD_ROW, entry.detail))
                continue
            planned += _calls(entry.plans)
            verdicts = self.jury.verdicts(entry.plans, chunk.replies)
            if isinstance(entry.row, Known):
                self._write_canary(entry.row, verdicts, sink, counts)
                continue
            self._count(entry, verdicts, chunk.replies, sink, counts)
            self._write_row(entry, verdicts, sink, counts)
            counts.rows_in += 1
        counts.asked += chunk.replies.asked
        counts.cached += planned - chunk.replies.asked

    def _count(self, item: PlannedRow, verdicts: Verdicts, replies: Replies, sink: Sink, counts: Counts) -> None:
        """Count each critic's verdicts, and list its failures."""
        for plan in item.plans:
            for number, (critic, asked) in enumerate(zip(self.critics, plan.by_critic, strict=True)):
                for wanted in asked:
                    verdict = verdicts[wanted.principle][number][plan.subject]
                    read, written = replies.tokens(wanted.questions)
                    counts.prompt_tokens += read
                    counts.completion_tokens += written
                    tally = counts.principles.setdefault(wanted.principle.id, {"verdicts": 0, "failed": 0})
                    tally["failed" if isinstance(verdict, Failure) else "verdicts"] += 1
                    if isinstance(verdict, Failure):
                        counts.failed += 1
                        who = critic.judge.identity if len(self.critics) > 1 else None
                        about = (item.row.number, item.row.id, wanted.principle.id, plan.subject)
                        sink.failures.write(failure_record(*about, verdict.reason, verdict.detail, who))
                    else:
                        counts.verdicts += 1
                        counts.cut += verdict.cut > 0

    def _write_row(self, item: PlannedRow, verdicts: Verdicts, sink: Sink, counts: Counts) -> None:
        judge, row, who = self.jury.judge, item.row, self.jury.identity
        if sink.scores is not None:
            for index in range(len(row.responses)):
                scored = self.jury.on_response(verdicts, index)
                value = reward(opinions(scored), judge.aggregate)
                if value is None:
                    counts.unjudged += 1
                else:
                    sink.scores.write(score_record(row, index, value, scored, who))
        for i, j in item.pairs:
            judged: Judged = self.jury.on_pair(verdicts, i, j)
            if self.calibration:
                judged = self.calibration.on_principles(judged)
            p = preference(opinions(judged), judge.aggregate)
            if self.calibration:
                p = self.calibration.on_overall(p)
            if p is not None:
                sink.preferences.write(preference_record(row, (i, j), p, judged, judge.constitution, who))
                counts.rows_out += 1
            elif sink.scores is None:
                counts.unjudged += 1

    def _write_canary(self, row: Known, verdicts: Verdicts, sink: Sink, counts: Counts) -> None:
        ((_, verdict),) = self.jury.on_pair(verdicts, 0, 1)
        won = margin(row, verdict.p) if isinstance(verdict, Comparison) else None
        counts.canaries += won is not None
        counts.canaries_right += won is not None and won > 0
        if sink.canaries is not None:
            sink.canaries.write(canary_record(row.principle, row.id, won, verdict))


def _letters(row: Row) -> int:
    """In the conversation and all responses: at least what a question shows."""
    turns = (turn for turns in (row.conversation, *(response.turns for response in row.responses)) for turn in turns)
    return sum(len(turn["content"]) for turn in turns)


def _calls(plans: Iterable[Plan]) -> int:
    """Questions of all critics, repeated ones included."""
    return sum(len(asked.questions) for plan in plans for every in plan.by_critic for asked in every)
