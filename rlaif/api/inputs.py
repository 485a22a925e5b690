"""What the functions are given in memory, as the files that a run reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rlaif.constitution.types import Constitution
from rlaif.data.inputs import stamp
from rlaif.data.values import BadRecordError, plain
from rlaif.data.write import JsonlWriter
from rlaif.errors import UsageError

Rows = str | Path | Iterable[Mapping[str, Any]]
"""Rows: a path, a name on the hub, or the rows themselves (a list of dicts, a ``datasets.Dataset``)."""


def source_of(rows: Rows, folder: Path, name: str) -> str:
    """Where the rows are: as named, else in a new file in ``folder``, ``NAME-DIGEST.jsonl``.

    The digest is of the content, so that the same rows give the same file, and a run of them can be continued.

    Raises UsageError where something is no row that a file can hold.
    """
    if isinstance(rows, str | Path):
        return str(rows)
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        raise UsageError(f"rows: expected a path, a dataset or a list of dicts, found {type(rows).__name__}")
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / f"{name}-rows.jsonl"
    with JsonlWriter(written) as file:
        for number, row in enumerate(rows, 1):
            if not isinstance(row, Mapping):
                raise UsageError(f"rows: row {number} is no dict but {type(row).__name__}")
            try:
                file.write({str(column): plain(str(column), value) for column, value in row.items()})
            except BadRecordError as error:
                raise UsageError(f"rows: row {number}: {error}") from None
    return str(written.rename(folder / f"{name}-{stamp(str(written))}.jsonl"))


def constitution_of(constitution: str | Path | Constitution, folder: Path, name: str) -> str:
    """The file of the constitution: as named, the one that it was read from where that still says the same, or a new file in
    ``folder``, ``NAME-DIGEST.yaml``."""
    if not isinstance(constitution, Constitution):
        return str(constitution)
    for source in constitution.sources[:1]:
        try:
            if Constitution.load(source) == constitution:
                return str(source)
        except UsageError:
            pass
    from rlaif.constitution.write import write

    path = folder / f"{name}-{constitution.digest}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    write(path, constitution.resolved(), "Made by a program that used rlaif.", overwrite=True)
    return str(path)
