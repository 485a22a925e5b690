"""Datasets out: files that are complete or absent, whatever happens to the process that writes them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from rlaif.data.columns import Record


def dumps(record: Any) -> str:
    """``record`` as one line of JSON, keys in the order given, text as it is.

    Halves of surrogate pairs, which no UTF-8 file can hold, become U+FFFD. Raises ValueError for NaN and infinities,
    which no JSON file can hold.
    """
    line = json.dumps(record, ensure_ascii=False, allow_nan=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = line.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return line


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to. When the block ends well it is synced and renamed to ``path``."""
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


@contextmanager
def atomic_write(path: Path) -> Iterator[TextIO]:
    """A UTF-8 text file that appears at ``path`` when the block ends well, and not at all when it does not."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        yield file


class JsonlWriter:
    """A context manager that writes records to ``PATH.part`` and renames it to ``path`` when the block ends well.

    sync_every: records between two syncs, so that a power cut costs at most that many. When the block ends in an error
    the ``.part`` file stays, for the reader to look at; the next writer starts it afresh.
    """

    def __init__(self, path: Path, sync_every: int = 256) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.written = 0
        self._sync_every = sync_every

    def __enter__(self) -> Self:
        self._file = self.part.open("w", encoding="utf-8", newline="\n")
        return self

    def write(self, record: Record | Mapping[str, Any]) -> None:
        """Append one record as a line."""
        self._file.write(dumps(record.to_dict() if isinstance(record, Record) else record) + "\n")
        self.written += 1
        if self.written % self._sync_every == 0:
            self._sync()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._file:
            self._sync()
        if error is None:
            self.part.replace(self.path)
            _sync_folder(self.path.parent)

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


def _sync_folder(folder: Path) -> None:
    """Makes a rename survive a power cut; a no-op where folders cannot be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sweep(path: Path) -> None:
    """Remove what a killed process left behind of ``path``, but not what a live one is writing."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        number = left.name.split(".")[-2]
        if number.isdigit() and not _alive(int(number)):
            left.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
