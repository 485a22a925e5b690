"""Object storage by URL, as far as ``fsspec`` knows it: ``s3://``, ``gs://``, ``hf://``, ``abfs://``, and others.

Files of rows are read from there as they come, and what a run wrote is put there. Credentials are those of the environment, as
each storage's library finds them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal, cast

from rlaif.data.formats import SUFFIXES
from rlaif.data.hub import named
from rlaif.errors import RunFailed, UsageError, one_line, remember_secrets, without_secrets

_URL = re.compile(r"([a-z][a-z0-9+]*)://.+")
_AHEAD = 1 << 20
"""Bytes that are taken at once from what the library holds."""
_ROWS = ("preferences.jsonl", "preferences.parquet")
"""In the folder of a finished run: its rows."""


@dataclass(frozen=True)
class Remote:
    """A file in storage, with as much of ``pathlib.Path`` as reading rows takes. path: its name for the storage ``system``."""

    url: str
    system: Any
    path: str

    def __str__(self) -> str:
        return without_secrets(self.url)

    @property
    def suffixes(self) -> list[str]:
        return PurePosixPath(self.path).suffixes

    def open(self, mode: Literal["rb"] = "rb") -> IO[bytes]:
        """Reads raise RunFailed where the storage does not answer any more: rows would be missing."""
        with _trouble(UsageError, f"{self} cannot be opened"):
            return cast(IO[bytes], io.BufferedReader(_Raw(self.system.open(self.path, mode), str(self)), _AHEAD))

    def stamp(self) -> str:
        """What tells one content from another, as the storage says it now: without reading."""
        with _trouble(RunFailed, f"{self} cannot be looked at"):
            self.system.invalidate_cache(self.path)
            return str(self.system.ukey(self.path))[:16]


class _Raw(io.RawIOBase):
    """A file of the library's, whose own errors are of many kinds."""

    def __init__(self, file: Any, url: str) -> None:
        self._file, self._url = file, url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        kept = "; what was answered is kept, the same command continues"
        with _trouble(RunFailed, f"{self._url} cannot be read any more", kept):
            content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def close(self) -> None:
        self._file.close()
        super().close()


def is_url(source: str) -> bool:
    """Whether ``source`` is in storage, and neither here nor a dataset's name on the hub."""
    is_file = any(part.lower() in (*SUFFIXES, ".gz") for part in PurePosixPath(source).suffixes)
    return bool(_URL.fullmatch(source)) and (is_file or named(source) is None)


def remote(url: str) -> Remote:
    """The file of rows at ``url``: itself, or that of the finished run whose folder it is.

    Raises UsageError where there is none, or the storage does not let us in.
    """
    system, path = _system(url)
    with _trouble(UsageError, f"{without_secrets(url)} cannot be looked at"):
        if system.isfile(path):
            return Remote(url, system, path)
        for name in _ROWS:
            if system.isfile(inside := f"{path.rstrip('/')}/{name}"):
                return Remote(f"{url.rstrip('/')}/{name}", system, inside)
    raise UsageError(f"{without_secrets(url)}: no such file, and no folder of a label run; name a file of rows")


def check_target(url: str) -> None:
    """Before anything is asked: raises UsageError where nothing could be put at ``url``, as far as a look can tell."""
    if not url:
        return
    if not _URL.fullmatch(url):
        raise UsageError(f"--copy-to {url}: expected a URL, such as s3://bucket/folder")
    system, path = _system(url)
    with _trouble(UsageError, f"--copy-to {without_secrets(url)}: the storage lets nobody in"):
        system.find(path, maxdepth=1)


def copy_to(url: str, folder: Path) -> None:
    """Put the files of a finished run at ``url``, those that are there already with the same name replaced; nothing for no URL.

    Raises RunFailed where the storage does not take them: what was written stays.
    """
    if not url:
        return
    system, path = _system(url)
    again = f"; all is written to {folder}, and the same command tries again"
    with _trouble(RunFailed, f"--copy-to {without_secrets(url)}: the storage did not take the files", again):
        for file in sorted(folder.rglob("*")):
            inside = file.relative_to(folder)
            if file.is_file() and not file.name.endswith(".part") and not any(part.startswith(".") for part in inside.parts):
                system.makedirs(f"{path}/{inside.parent.as_posix()}".removesuffix("/."), exist_ok=True)
                system.put_file(str(file), f"{path}/{inside.as_posix()}")


def _system(url: str) -> tuple[Any, str]:
    """The storage, and what it calls the place."""
    import fsspec

    remember_secrets(url)
    with _trouble(UsageError, f"{without_secrets(url)} cannot be reached"):
        system, path = fsspec.core.url_to_fs(url)
    return system, str(path).rstrip("/")


@contextmanager
def _trouble(kind: type[UsageError | RunFailed], what: str, more: str = "") -> Iterator[None]:
    """Every library of a storage has errors of its own, and names the package that is missing in an ImportError."""
    try:
        yield
    except (UsageError, RunFailed):
        raise
    except Exception as error:
        why = one_line(str(error)) or type(error).__name__
        raise kind(f"{what} ({without_secrets(why)}){more}") from None
