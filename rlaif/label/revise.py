"""Responses through their rounds of critique and revision, in chunks, two of which are under way at once.

A chunk's critiques go to the engine in one call, then its revisions. The store is the only memory of progress, as it is of the
labelling pipeline: a run that was killed is continued by doing it again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace

from rlaif.critic.revise import Draft, Failed, Reviser
from rlaif.data.columns import columns
from rlaif.data.records import FailureRecord, RevisionRecord, RevisionRound
from rlaif.data.rows import BadRow, Row
from rlaif.engines.base import Failure, FailureReason
from rlaif.label.records import failure_record, riding

CHUNK = 256
"""Responses to a chunk."""
LOOK_AHEAD = 2


async def revised(rows: Iterable[Row | BadRow], reviser: Reviser, rounds: int) -> AsyncIterator[BadRow | Draft]:
    """Every response of every row as a draft that has been through ``rounds`` rounds, or failed in one of them, in order."""
    flying: deque[asyncio.Task[list[BadRow | Draft]]] = deque()
    try:
        for chunk in _chunks(rows):
            flying.append(asyncio.create_task(_solve(chunk, reviser, rounds)))
            await asyncio.sleep(0)  # the chunk reaches the engine before the next one is read
            if len(flying) == LOOK_AHEAD:
                for entry in await flying.popleft():
                    yield entry
        while flying:
            for entry in await flying.popleft():
                yield entry
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


def revision_record(draft: Draft) -> RevisionRecord:
    """A draft as a row that ``rlaif label`` reads: the revision first, then the original with what the source knows of it."""
    original = draft.row.responses[draft.index]
    gold = {"gold": dict(original.gold)} if original.gold else {}
    return RevisionRecord(
        id=f"{draft.row.id}:{draft.index}",
        prompt=draft.row.conversation,
        responses=({"text": draft.text}, {"text": draft.original, **gold, **original.extra}),
        rounds=tuple(
            RevisionRound(principle=revision.principle.id, critique=revision.critique, revision=revision.text)
            for revision in draft.revisions
        ),
        extra=riding(draft.row.extra, columns(RevisionRecord).keys()),
    )


def revision_failure(entry: BadRow | Draft) -> FailureRecord | None:
    """The failure record of a row that could not be used, or of a draft that failed; None where nothing did."""
    if isinstance(entry, BadRow):
        return failure_record(entry.number, None, None, None, FailureReason.BAD_ROW, entry.detail)
    if entry.failed is None:
        return None
    principle, failure = entry.failed
    detail = f"{principle.id}: {failure.detail}" if principle else failure.detail
    # Not in the column ``principle``: that counts the verdicts by it that failed.
    return failure_record(entry.row.number, entry.row.id, None, (entry.index,), failure.reason, detail)


async def _solve(chunk: list[BadRow | Draft], reviser: Reviser, rounds: int) -> list[BadRow | Draft]:
    drafts = [entry for entry in chunk if isinstance(entry, Draft)]
    for number in range(1, rounds + 1):
        drafts = await reviser.advance(drafts, number)
    done = iter(drafts)
    return [next(done) if isinstance(entry, Draft) else entry for entry in chunk]


def _chunks(rows: Iterable[Row | BadRow]) -> Iterator[list[BadRow | Draft]]:
    chunk: list[BadRow | Draft] = []
    for row in rows:
        chunk += _drafts(row)
        if len(chunk) >= CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _drafts(row: Row | BadRow) -> list[BadRow | Draft]:
    if isinstance(row, BadRow):
        return [row]
    if not row.responses:
        return [BadRow(row.number, "the row has a prompt and no responses; rlaif sample writes rows that have them")]
    drafts: list[BadRow | Draft] = []
    for index, response in enumerate(row.responses):
        draft = Draft(row, index)
        if len(response.turns) != 1 or response.turns[0]["role"] != "assistant":
            several = Failure(FailureReason.BAD_ROW, "a response of several turns cannot be written again as one")
            draft = replace(draft, failed=Failed(None, several))
        drafts.append(draft)
    return drafts
