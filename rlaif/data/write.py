"""Datasets out: files that are complete or absent, whatever happens to the process that writes them."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from rlaif.data.columns import Record
from rlaif.errors import RunFailed

_CURES = {
    errno.ENOSPC: "free some space; then the same command continues",
    errno.EDQUOT: "free some space; then the same command continues",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f); then the same command continues",
    errno.EROFS: "give a place that can be written",
    errno.EACCES: "change who may read and write it, or give another place",
    errno.EPERM: "change who may read and write it, or give another place",
    errno.EISDIR: "move that folder away, or give another place",
    errno.EIO: "check the disk",
}
"""What helps against the troubles of a disk, by their number."""
_NAMELESS = ("inline_container", "PytorchStreamWriter failed writing")
"""How torch's own writer says that a file did not take all of it, for whatever reason."""
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters that JSON lets stand, and a terminal that a file is printed on does not."""


def dumps(record: Any, indent: int | None = None) -> str:
    """``record`` as one line of JSON (without ``indent``), keys in the order given, text as it is but for control characters.

    Halves of surrogate pairs, which no UTF-8 file can hold, become U+FFFD. Raises ValueError for NaN and infinities,
    which no JSON file can hold.
    """
    line = json.dumps(record, ensure_ascii=False, allow_nan=False, indent=indent)
    if line.isascii() and "\x7f" not in line:
        return line
    line = _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", line)
    try:
        line.encode()
    except UnicodeEncodeError:
        line = line.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return line


def disk_trouble(error: BaseException, path: Path | None = None) -> str | None:
    """One message with file and cure where ``error`` came of a disk (full, read-only, …), whatever library met it.

    path: the file that was written, where the error may not name it.
    """
    chain = [error]
    while (earlier := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(earlier)
    for known in chain:
        for number, cure in _CURES.items():
            words = os.strerror(number)
            if (isinstance(known, OSError) and known.errno == number) or words in str(known):
                name = path or getattr(known, "filename", None)
                message = f"{name}: {words}" if name else str(known)
                return message if cure in message else f"{message}; {cure}"
    if any(words in str(known) for known in chain for words in _NAMELESS):
        cure = "free some space, or raise the limit on the size of files (ulimit -f); then the same command continues"
        return f"{path or 'a checkpoint'}: the file does not take all of it; {cure}"
    return None


def create(path: Path) -> TextIO:
    """A new UTF-8 file at ``path``, in place of what was there; a link there is replaced, not followed."""
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # 0o666: the umask decides who may read it
    return os.fdopen(handle, "w", encoding="utf-8", newline="\n")


def _unwritable(path: Path, error: OSError) -> RunFailed:
    return RunFailed(f"{path}: {error.strerror or error}; {_CURES.get(error.errno or 0, 'give another place')}")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` to write to. When the block ends well it is synced and renamed to ``path``.

    Raises RunFailed where the disk does not take it.
    """
    _sweep(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        create(temporary).close()
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, Exception) and not isinstance(error, RunFailed) and (trouble := disk_trouble(error, path)):
            raise RunFailed(trouble) from error
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
    the ``.part`` file stays, for the reader to look at; the next writer starts it afresh. Raises RunFailed where the disk
    does not take it; then the ``.part`` file goes, as ``run.json`` needs some room to say so.
    """

    def __init__(self, path: Path, sync_every: int = 256) -> None:
        self.path = path
        self.part = path.with_name(path.name + ".part")
        self.written = 0
        self._sync_every = sync_every
        self._refused = False

    def __enter__(self) -> Self:
        try:
            self._file = create(self.part)
        except OSError as error:
            raise _unwritable(self.part, error) from error
        return self

    def write(self, record: Record | Mapping[str, Any]) -> None:
        """Append one record as a line."""
        try:
            self._file.write(dumps(record.to_dict() if isinstance(record, Record) else record) + "\n")
            self.written += 1
            if self.written % self._sync_every == 0:
                self._sync()
        except OSError as error:
            self._refused = True
            raise _unwritable(self.part, error) from error

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with self._file:
                self._sync()
            if error is None:
                self.part.replace(self.path)
                _sync_folder(self.path.parent)
        except OSError as refused:
            self._refused = True
            if error is None:
                raise _unwritable(self.part, refused) from refused
        finally:
            if self._refused:
                self.part.unlink(missing_ok=True)

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
