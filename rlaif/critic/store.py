"""The verdict store: every answer of every engine, kept under a key of all that could have changed it.

Answers are kept raw (log-probabilities, the completion); verdicts, soft labels and aggregates are computed from them each
time, so a change of weights or thresholds asks nothing. One SQLite file in WAL mode; several runs may share it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Self

from rlaif.critic.stored import Answer, DamagedError, read, spelled
from rlaif.engines.base import Failure, FailureReason
from rlaif.errors import RunFailed, UsageError, warn

__all__ = ["FORMAT", "LASTING", "Answer", "KeyStem", "VerdictStore", "fixed", "key", "key_of"]

FORMAT = 2
"""What ``PRAGMA user_version`` says of a store's tables. Those before 2 hold answers as JSON text and read alike; they stay as
they are, and what is added is written as of now (``critic.stored``)."""
KEY_BYTES = 20
LASTING = frozenset({FailureReason.TOO_LONG, FailureReason.REFUSED})
"""Failures that the same question would meet again. Others are not stored, so that the next run asks again."""


_FIXED = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=list)


def key(*parts: object) -> bytes:
    """A store key: the hash of everything that shaped the answer, in a fixed spelling."""
    return key_of(map(fixed, parts))


def fixed(part: object) -> str:
    """The spelling of one of a key's parts. What is in many keys is spelled once."""
    return _FIXED.encode(part)


def key_of(spellings: Iterable[str]) -> bytes:
    """The key of parts that are spelled already."""
    return hashlib.sha256(f"[{','.join(spellings)}]".encode()).digest()[:KEY_BYTES]


class KeyStem:
    """The keys that begin with the same parts: what they share is hashed once."""

    def __init__(self, *parts: object) -> None:
        self._begun = hashlib.sha256(f"[{','.join(map(fixed, parts))}".encode())

    def key(self, last: str) -> bytes:
        """``key(*parts, last)``, for a last part that is spelled as it is, such as a hexadecimal number."""
        hashed = self._begun.copy()
        hashed.update(f',"{last}"]'.encode())
        return hashed.digest()[:KEY_BYTES]


class VerdictStore:
    """A context manager. Raises UsageError when the file is not a verdict store or cannot be used as one (locked, read-only,
    damaged, of a later version), RunFailed when it cannot be read or written any more.

    It may go from one thread to another, but only one at a time may use it.

    patience: seconds to wait for another process that holds the file: once that long to open it; when an answer is to be kept,
    after a word to the user, ten times as long.
    """

    def __init__(self, path: Path, patience: float = 5.0) -> None:
        self.path = path
        self._patience = patience
        self._damaged: set[bytes] = set()
        self._asking_again = 0
        self.under_way: dict[bytes, asyncio.Future[Answer | None]] = {}
        """What ``critic.answers`` is asking for just now."""
        try:
            if path.exists() and not path.is_file():
                raise UsageError(f"--store {path}: not a file; give a file's name")
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"{path}: cannot be used as a verdict store: {_trouble(error)}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file. What was put is in it."""
        self._db.close()

    def _open(self) -> None:
        (written_format,) = self._db.execute("PRAGMA user_version").fetchone()
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "answers" not in tables:  # somebody's database: nothing may be written into it
            raise UsageError(f"{self.path}: a database, but no verdict store; give another --store")
        if written_format > FORMAT:
            by = dict(self._db.execute("SELECT name, value FROM meta")).get("rlaif", "?") if "meta" in tables else "?"
            raise UsageError(
                f"{self.path}: written by a later version of rlaif ({by}, format {written_format}; this one reads {FORMAT}); "
                "update rlaif, or give another --store"
            )
        if tables:
            self._db.execute("SELECT key, answer FROM answers LIMIT 1")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        if written_format < FORMAT:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer BLOB NOT NULL) WITHOUT ROWID")
            self._db.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('rlaif', ?)", (version("rlaif"),))
            self._db.execute(f"PRAGMA user_version = {FORMAT}")
            self._db.execute("COMMIT")

    def get(self, keys: Sequence[bytes]) -> dict[bytes, Answer]:
        """The stored answers among ``keys``. A damaged one is named on stderr and left out: it will be asked again."""
        answers: dict[bytes, Answer] = {}
        for start in range(0, len(keys), 500):
            batch = keys[start : start + 500]
            marks = ",".join("?" * len(batch))
            try:
                rows = self._db.execute(
                    f"SELECT key, CAST(answer AS BLOB) FROM answers WHERE key IN ({marks})", batch
                ).fetchall()
            except sqlite3.Error as error:
                raise RunFailed(f"{self.path}: the verdict store cannot be read: {_trouble(error)}") from error
            for name, answer in rows:
                try:
                    answers[name] = read(answer)
                except DamagedError as damage:
                    self._note_damaged(name, str(damage))
        return answers

    def put(self, answers: Iterable[tuple[bytes, Answer]]) -> dict[bytes, Answer]:
        """Keep answers, all or none of them: on disk when this returns, whatever becomes of the process.

        What is there already stays, so that two runs that share a store read the same: where there is any, what is stored for
        these answers is returned. A call costs about a tenth of a millisecond, so that answers may be kept one by one as they
        come.
        """
        rows = [(name, spelled(answer)) for name, answer in answers if not _passing(answer)]
        if not rows:
            return {}
        try:
            self._begin()
            if damaged := [(name,) for name, _ in rows if name in self._damaged]:
                self._db.executemany("DELETE FROM answers WHERE key = ?", damaged)
            added = self._db.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows).rowcount
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise RunFailed(f"{self.path}: the verdict store cannot be written: {_trouble(error)}") from error
        self._damaged.difference_update(name for name, _ in rows)
        return self.get([name for name, _ in rows]) if added < len(rows) else {}

    def _begin(self) -> None:
        """Take the file for writing. While another process holds it, wait: the answers in hand are paid for."""
        until = time.monotonic() + 10 * self._patience
        warned = False
        while True:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not _locked(error) or time.monotonic() > until:
                    raise
            if not warned:
                warn(f"{self.path}: another process holds the verdict store; waiting for it")
                warned = True

    def _note_damaged(self, name: bytes, damage: str) -> None:
        if name not in self._damaged and self._asking_again < 3:
            warn(f"{self.path}: the answer under key {name.hex()} is damaged ({damage}); it is asked again")
        elif name not in self._damaged and self._asking_again == 3:
            warn(f"{self.path}: more answers are damaged; they are asked again")
        self._asking_again += name not in self._damaged
        self._damaged.add(name)


def _locked(error: Exception) -> bool:
    return "locked" in str(error) or "busy" in str(error)


def _trouble(error: Exception) -> str:
    """What is wrong, and what helps."""
    text = getattr(error, "strerror", None) or str(error)
    for sign, cure in (
        ("locked", "another process holds it: wait for that one, or give another --store"),
        ("malformed", "it is damaged: move it away, and what it held is asked again"),
        ("not a database", "give another --store"),
        ("full", "free some space; the same command continues"),
        ("readonly", "make file and folder writable, or give another --store"),
        ("ermission", "make file and folder writable, or give another --store"),
        ("unable to open", "make file and folder writable, or give another --store"),
        ("disk I/O", "check the disk, its space and its limits; the same command continues"),
    ):
        if sign in text:
            return f"{text}; {cure}"
    return text


def _passing(answer: Answer) -> bool:
    return isinstance(answer, Failure) and answer.reason not in LASTING
