"""What a command reads must outlive it: inputs that its output would replace are refused, and changed sources are noticed."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TypeVar

from rlaif.data.hub import named, revision
from rlaif.data.storage import is_url, remote
from rlaif.errors import RunFailed, UsageError

Item = TypeVar("Item")
_OURS = ("out", "store")
"""Settings that name what is written."""
_READ = ("*.jsonl", "*.parquet", "*.arrow", "dataset_info.json", "state.json")
"""Of a folder of rows: the files that hold them."""
_BESIDE = ("metrics.jsonl", "annotations.jsonl", "annotations-gold.jsonl")
"""Of a run's folder: what is added without a change to its rows."""


def refuse_inputs(inputs: object, folder: Path | None = None, files: Sequence[Path] = ()) -> None:
    """Raises UsageError where something that a command reads is inside ``folder`` or is one of ``files``, which it writes.

    inputs: the command's configuration, nested as it may be, or texts. Each text that names a file or a folder counts, also
        after a prefix (``script:FILE``) or before a suffix (``FILE.py:function``); settings named ``out`` and ``store`` do not.
    """
    taken = {_place(file): file for file in files}
    for path in _paths(inputs):
        for location in (_place(path), path.resolve()):  # a link inside the folder would go with it
            if folder and folder.resolve() in (location, *location.parents):
                raise UsageError(f"--out {folder}: the input {path} is in it, and would be lost; give another --out")
            if location in taken:
                raise UsageError(f"--out {taken[location]}: this would replace the input {path}; give another --out")


def refuse_others_file(out: Path, sign: bytes, kind: str) -> None:
    """Raises UsageError where ``out`` is there already and has no ``sign``, near its beginning, of the kind that is written."""
    if out.is_file():
        with out.open("rb") as file:
            if sign in file.read(4096):
                return
    if os.path.lexists(out):
        raise UsageError(f"--out {out}: is there already, and is no {kind}; give another --out, or --overwrite")


def stamp(source: str) -> str | None:
    """What tells one content of a source from another: a hash of its bytes; of a file in storage, what is said of it there; the
    revision of a dataset on the hub."""
    if is_url(source):
        return remote(source).stamp()
    path = Path(source)
    if path.is_dir():
        there = {file for pattern in _READ for file in path.glob(pattern) if file.is_file()}
        files = sorted(there - {path / name for name in _BESIDE})
    elif path.is_file():
        files = [path]
    else:
        return revision(source)
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()[:16]


def unchanged(rows: Iterator[Item], source: str, content: str | None) -> Iterator[Item]:
    """The rows, and after the last of them a look at the source: RunFailed where its ``stamp`` is no longer ``content``."""
    pinned = named(source) is not None  # of a dataset on the hub one revision is read, whatever becomes of it
    yield from rows
    if not pinned and stamp(source) != content:
        raise RunFailed(
            f"{source} changed while it was read, so that nobody knows which rows these were; run the command again (what was "
            "answered is kept)"
        )


def _paths(value: object) -> Iterator[Path]:
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name not in _OURS:
                yield from _paths(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from _paths(inner)
    elif isinstance(value, Path | str):
        text = str(value)
        parts = {text, text.partition(":")[2], text.rpartition(":")[0], *re.split("[,=]", text)}
        yield from (Path(part).expanduser() for part in sorted(parts) if part and _exists(part))


def _exists(name: str) -> bool:
    try:
        return os.path.lexists(Path(name).expanduser())
    except (OSError, ValueError, RuntimeError):  # a text that can be no path
        return False


def _place(path: Path) -> Path:
    """Where the name itself is, be it that of a link."""
    return path.parent.resolve() / path.name
