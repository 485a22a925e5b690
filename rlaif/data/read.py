"""Rows in: a file, a folder or a dataset's name as a stream of rows, bad ones marked and passed on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path

from rlaif.data import formats, hub, storage
from rlaif.data.formats import SUFFIXES, Record
from rlaif.data.rows import BadRow, Row
from rlaif.data.run_folder import read_run
from rlaif.data.shapes import CANONICAL, to_row
from rlaif.data.unread import unread
from rlaif.data.values import BadRecordError, NoShapeError
from rlaif.errors import UsageError, warn_once

_LEAD = 20


def read_rows(source: str, limit: int | None = None, columns: Mapping[str, str] | None = None) -> Iterator[Row | BadRow]:
    """Stream the source's rows in order; memory is bounded by one record (one batch for Parquet), not by the source.

    source: a path or URL (``data.storage``) of JSONL, a JSON array, CSV or Parquet (plain or gzipped), a folder (of
        ``save_to_disk`` or of a label run), or a ``datasets`` name, ``NAME[:split]`` or ``NAME/config[:split]``, also after ``hf://datasets/``.
    limit: stop after that many rows, bad ones included.
    columns: the source's own names by ours, ``{"prompt": "question", "chosen": "better"}``.

    Columns that look like prompts or answers and are not read are named on stderr, once.

    Raises UsageError from the call itself, before the first row, where the source is missing, empty, of no known format,
    or where its first rows (all of them, or 20) are all unreadable or of no accepted shape.
    """
    if unknown := [name for name in columns or {} if name not in CANONICAL]:
        raise UsageError(f"--columns {unknown[0]}=…: no such name; give {', '.join(CANONICAL)}")
    records = source_records(source)
    lead: list[tuple[Row | BadRow, bool]] = []
    for record in records:
        lead.append(_row(record, columns))
        if lead[-1][1] or len(lead) == _LEAD:
            _name_unread(source, lead[-1][0])
            break
    if not lead:
        raise UsageError(f"{source}: holds no rows")
    first = lead[0][0]
    if isinstance(first, BadRow) and not any(recognised for _, recognised in lead):
        raise UsageError(f"{source}: no usable row among the first {len(lead)}; row {first.number}: {first.detail}")
    return islice((row for row, _ in chain(lead, (_row(record, columns) for record in records))), limit)


def named_columns(spec: str | None) -> dict[str, str]:
    """What ``--columns`` says: ``prompt=ask,chosen=good`` as a mapping. Raises UsageError where it is nothing of the kind."""
    named: dict[str, str] = {}
    for part in spec.split(",") if spec else ():
        name, sign, own = (piece.strip() for piece in part.partition("="))
        if not (name and sign and own) or name in named:
            raise UsageError(f"--columns {spec}: expected NAME=COLUMN, separated by commas, each NAME once; found {part!r}")
        named[name] = own
    return named


def count_rows(source: str) -> int | None:
    """How many rows the source holds, for a progress bar; None where finding out is not cheap. Bad rows count."""
    if storage.is_url(source):
        return None
    path = Path(source)
    if path.is_dir():
        held = hub.folder_dataset(path)
        return len(held) if held is not None else formats.count(_preferences(path))
    return formats.count(path) if path.is_file() else None


def source_records(source: str) -> Iterator[Record]:
    """What the source holds, not read as rows yet. Raises UsageError where it cannot be used."""
    if storage.is_url(source):
        return formats.records(storage.remote(source))
    path = Path(source)
    if path.is_file():
        return formats.records(path)
    if path.is_dir():
        held = hub.folder_dataset(path)
        return enumerate(held, 1) if held is not None else formats.records(_preferences(path))
    if path.exists():
        raise UsageError(f"{source}: not a file; a source is read more than once, so save the stream to a file first")
    looks_like_path = any(part.lower() in (*SUFFIXES, ".gz") for part in path.suffixes)
    if looks_like_path or hub.named(source) is None:
        raise UsageError(f"{source}: no such file or folder")
    return hub.hub_records(source)


def _preferences(folder: Path) -> Path:
    """The rows that a label run wrote. Raises UsageError where it has not finished."""
    if (folder / "run.json").is_file():
        read_run(folder)
    for name in ("preferences.jsonl", "preferences.parquet"):
        if (folder / name).is_file():
            return folder / name
    inside = sorted(item.name for item in folder.iterdir() if any(part in (*SUFFIXES, ".gz") for part in item.suffixes))
    advice = f"name one file: {', '.join(inside[:5])}" if inside else "name a file of rows"
    raise UsageError(f"{folder}: a folder with neither a finished label run nor a saved dataset; {advice}")


def _row(record: Record, columns: Mapping[str, str] | None) -> tuple[Row | BadRow, bool]:
    """The row, and whether its record was read and had an accepted shape (its values may still be bad)."""
    if isinstance(record, BadRow):
        return record, False
    number, held = record
    try:
        return to_row(number, held, columns), True
    except BadRecordError as error:
        return BadRow(number, str(error)), not isinstance(error, NoShapeError)


def _name_unread(source: str, row: Row | BadRow) -> None:
    if isinstance(row, Row) and (names := unread(row)):
        what = "the column" if len(names) == 1 else "the columns"
        warn_once(
            f"{source}: {what} {', '.join(names)} may hold prompts or answers and will not be read as such; "
            "--columns says what a column is (docs/rows.md)"
        )
