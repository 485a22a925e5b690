"""The verdict store: every answer of every engine, kept under a key of all that could have changed it.

Answers are kept raw (log-probabilities, the completion); verdicts, soft labels and aggregates are computed from them each
time, so a change of weights or thresholds asks nothing. One SQLite file in WAL mode; several runs may share it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

from rlaif.engines.base import Choice, Failure, FailureReason, Generation
from rlaif.errors import RunFailed, UsageError

Answer = Choice | Failure | list[Generation]
Wanted = TypeVar("Wanted")
LASTING = frozenset({FailureReason.TOO_LONG, FailureReason.REFUSED})
"""Failures that the same question would meet again. Others are not stored, so that the next run asks anew."""


def key(*parts: object) -> bytes:
    """A store key: the hash of everything that shaped the answer, in a fixed spelling."""
    spelled = json.dumps(parts, ensure_ascii=True, separators=(",", ":"), default=list)
    return hashlib.sha256(spelled.encode()).digest()[:20]


class Answers(NamedTuple):
    """answers: by key. asked: how many of them an engine gave just now."""

    answers: dict[bytes, Answer]
    asked: int


class VerdictStore:
    """A context manager. Raises UsageError when the file is not a verdict store, RunFailed when the disk is full."""

    def __init__(self, path: Path) -> None:
        self._under_way: dict[bytes, asyncio.Future[Answer | None]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID")
            self._db.execute("SELECT key, answer FROM answers LIMIT 1")
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"{path}: cannot be used as a verdict store: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._db.close()

    async def ask(
        self, wanted: Mapping[bytes, Wanted], draw: Callable[[Sequence[Wanted]], Awaitable[Sequence[Answer]]]
    ) -> Answers:
        """The answer to each of ``wanted``, by its key: as stored, or as ``draw`` gives it, kept before it is used.

        All that is missing is drawn in one call. What another caller is being given just now is not asked again: its answer is
        waited for.
        """
        answers, asked = self.get(list(wanted)), 0
        while missing := [name for name in wanted if name not in answers]:
            elsewhere = {name: self._under_way[name] for name in missing if name in self._under_way}
            own = {name: wanted[name] for name in missing if name not in elsewhere}
            if own:
                answers |= await self._drawn(own, draw)
                asked += len(own)
            for name, under_way in elsewhere.items():
                answer = await asyncio.shield(under_way)
                if answer is not None:
                    answers[name] = answer
        return Answers(answers, asked)

    async def _drawn(
        self, wanted: Mapping[bytes, Wanted], draw: Callable[[Sequence[Wanted]], Awaitable[Sequence[Answer]]]
    ) -> dict[bytes, Answer]:
        under_way: dict[bytes, asyncio.Future[Answer | None]] = {
            name: asyncio.get_running_loop().create_future() for name in wanted
        }
        self._under_way |= under_way
        kept: dict[bytes, Answer] = {}
        try:
            drawn = await draw(list(wanted.values()))
            fresh: dict[bytes, Answer] = dict(zip(wanted, drawn, strict=True))
            self.put(fresh.items())
            kept = fresh | self.get(list(wanted))  # where another process was faster, its answer is the one that stays
            return kept
        finally:
            for name, future in under_way.items():
                del self._under_way[name]
                future.set_result(kept.get(name))  # None where this call came to nothing: who waits for it asks anew

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The stored answers among ``keys``."""
        found: dict[bytes, Answer] = {}
        for start in range(0, len(keys), 500):
            some = keys[start : start + 500]
            marks = ",".join("?" * len(some))
            for name, answer in self._db.execute(f"SELECT key, answer FROM answers WHERE key IN ({marks})", some):
                found[name] = _read(json.loads(answer))
        return found

    def put(self, answers: Iterable[tuple[bytes, Answer]]) -> None:
        """Keep answers, all or none of them, on disk when this returns to within the last moments before a power cut."""
        rows = [(name, _written(answer)) for name, answer in answers if not _passing(answer)]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            raise RunFailed(f"the verdict store cannot be written: {error}") from error


def _passing(answer: Answer) -> bool:
    return isinstance(answer, Failure) and answer.reason not in LASTING


def _written(answer: Answer) -> str:
    content: Any = [asdict(item) for item in answer] if isinstance(answer, list) else asdict(answer)
    return json.dumps(content, ensure_ascii=True, separators=(",", ":"))


def _generation(item: Mapping[str, Any]) -> Generation:
    drawn = tuple(item["token_ids"]), tuple(item["logprobs"])
    return Generation(item["text"], *drawn, item["finish"], item.get("prompt_tokens", 0))  # older stores did not count


def _read(content: Any) -> Answer:
    if isinstance(content, list):
        return [_generation(item) for item in content]
    if "reason" in content:
        return Failure(FailureReason(content["reason"]), content["detail"])
    return Choice(tuple(content["logprobs"]), content["mass"], content["raw"], content["prompt_tokens"], content["cut_tokens"])
