"""Files of rows as streams of records: JSONL, a JSON array, CSV and Parquet, plain or gzipped.

Formats are told apart by their first bytes, then by the name. Memory is bounded by one record (or one batch of a
Parquet file), never by the file. What cannot be read becomes a BadRow in its place.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, Protocol, cast

from rlaif.data.rows import BadRow
from rlaif.data.shapes import STRUCTURED
from rlaif.data.values import parsed
from rlaif.errors import UsageError

Format = Literal["jsonl", "array", "csv", "parquet"]
Record = tuple[int, Any] | BadRow
"""A 1-based number with what the source holds there, or why it holds nothing usable."""

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
MAX_RECORD = 64 * 2**20
"""A record longer than this many bytes is a bad row: one missing newline must not read a whole file into memory."""

_BATCH = 256
_BROKEN = (EOFError, OSError, zlib.error)
_FOREIGN = {b"PK\x03\x04": "zip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ": "xz", b"BZh": "bzip2", b"\xff\xfe": "UTF-16 text"}


class File(Protocol):
    """As much of a ``pathlib.Path`` as reading takes; of one in storage, ``data.storage.Remote``."""

    @property
    def suffixes(self) -> list[str]: ...

    def open(self, mode: Literal["rb"]) -> IO[bytes]: ...


def records(path: File) -> Iterator[Record]:
    """What the file holds, in order. Raises UsageError at once where the file as a whole cannot be used."""
    form = detect(path)
    if form == "csv":
        return _csv(path)
    if form == "parquet":
        return _parquet(path)
    return _jsonl(path) if form == "jsonl" else _array(path)


def count(path: Path) -> int | None:
    """How many records the file holds, None where finding out means reading a big file."""
    form = detect(path)
    if form == "parquet":
        with _parquet_file(path) as stream:
            return int(_open_parquet(path, stream).metadata.num_rows)
    if path.stat().st_size > MAX_RECORD:
        return None
    if form == "jsonl":
        try:
            with _open(path) as stream:
                return sum(1 for line in stream if line.strip())
        except _BROKEN:
            return None
    return sum(1 for _ in records(path))


def detect(path: File) -> Format:
    """The file's format. Raises UsageError for one that is missing, empty, cut off at its start, or unknown."""
    try:
        with _open(path) as stream:
            head = stream.read1(4096) if isinstance(stream, io.BufferedReader | gzip.GzipFile) else stream.read(4096)
    except _BROKEN as error:
        raise UsageError(f"{path}: cannot be read ({error}); is the file complete?") from None
    if not head.strip():
        raise UsageError(f"{path}: the file is empty")
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise UsageError(f"{path}: this is {name}; give UTF-8 text or Parquet, plain or gzipped")
    if head.startswith(b"PAR1"):
        return "parquet"
    suffix = next((part for part in reversed(path.suffixes) if part.lower() != ".gz"), "").lower()
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if suffix == ".parquet" or b"\x00" in head:
        raise UsageError(f"{path}: not a known format; give JSONL, a JSON array, CSV or Parquet, plain or gzipped")
    if suffix == ".csv":
        return "csv"
    if text.startswith(b"[") and suffix not in (".jsonl", ".ndjson"):
        return "array"
    if re.match(rb"\{\s*\n", text) and suffix not in (".jsonl", ".ndjson"):
        raise UsageError(f"{path}: a single JSON object over many lines; rows are an array of objects, or one object per line")
    if text.startswith(b"{") or suffix in SUFFIXES:
        return "jsonl"
    raise UsageError(f"{path}: not a known format; name it {', '.join(SUFFIXES)} (and .gz if gzipped)")


def _open(path: File) -> IO[bytes]:
    stream = path.open("rb")
    magic = stream.read(2)
    stream.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if magic == b"\x1f\x8b" else stream


def _cut_off(number: int, error: Exception) -> BadRow:
    return BadRow(number, f"the file is broken from here on, nothing after it could be read ({error})")


def _jsonl(path: File) -> Iterator[Record]:
    number = 0
    with _open(path) as stream:
        while True:
            number += 1
            try:
                line = stream.readline(MAX_RECORD)
                if len(line) == MAX_RECORD and not line.endswith(b"\n"):
                    while line and not line.endswith(b"\n"):
                        line = stream.readline(2**20)
                    yield BadRow(number, f"the line is longer than {MAX_RECORD >> 20} MiB")
                    continue
            except _BROKEN as error:
                yield _cut_off(number, error)
                return
            if not line:
                return
            if number == 1:
                line = line.removeprefix(codecs.BOM_UTF8)
            if line.strip():
                yield _parse(number, line)


def _parse(number: int, line: bytes) -> Record:
    try:
        return number, json.loads(line.decode())
    except UnicodeDecodeError as error:
        return BadRow(
            number, f"not valid UTF-8: byte {error.object[error.start]:#04x} at position {error.start + 1} of the line"
        )
    except json.JSONDecodeError as error:
        return BadRow(number, f"not valid JSON: {error.msg} at column {error.colno}")
    except (RecursionError, ValueError) as error:
        return BadRow(number, f"not valid JSON: {error}")


def _array(path: File) -> Iterator[Record]:
    """The elements of a JSON array, decoded one by one from a buffer that grows only while an element is unfinished.

    Where an element is broken there is no telling where the next begins: reading ends with a BadRow.
    """
    decoder, number = json.JSONDecoder(), 0
    with _open(path) as stream:
        # Bytes that are not UTF-8 become lone surrogates, which later make a bad row of the row that holds them.
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape")
        buffer, at, more = "", 0, True
        while more:
            try:
                chunk = text.read(max(2**16, len(buffer) - at))
            except _BROKEN as error:
                yield _cut_off(number + 1, error)
                return
            more, buffer, at = bool(chunk), buffer[at:] + chunk, 0
            while (found := _element(decoder, buffer, at, first=number == 0)) is not None:
                element, at = found
                if at == len(buffer) + 1:
                    return
                number += 1
                yield number, element
            if len(buffer) - at > MAX_RECORD:
                break
    yield BadRow(number + 1, "the JSON array is broken from here on, nothing after it could be read")


def _element(decoder: json.JSONDecoder, buffer: str, at: int, first: bool) -> tuple[Any, int] | None:
    """The next element and where it ends; an end past the buffer says that the array is closed, None that more is needed.

    An element counts only with the comma or bracket after it in sight: before that, a number may still go on.
    """
    at = _skip(buffer, at)
    if buffer[at : at + 1] == "]":
        return None, len(buffer) + 1
    if buffer[at : at + 1] != ("[" if first else ","):
        return None
    start = _skip(buffer, at + 1)
    if first and buffer[start : start + 1] == "]":
        return None, len(buffer) + 1
    try:
        element, end = decoder.raw_decode(buffer, start)
    except (ValueError, RecursionError):
        return None
    return (element, end) if buffer[_skip(buffer, end) :][:1] in (",", "]") else None


def _skip(buffer: str, at: int) -> int:
    while at < len(buffer) and buffer[at] in " \t\r\n":
        at += 1
    return at


def _csv(path: File) -> Iterator[Record]:
    """Rows are numbered from 1 below the header. Cells that hold lists of objects, and ``responses``, are JSON."""
    csv.field_size_limit(MAX_RECORD)
    with _open(path) as stream:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
        rows = csv.reader(text, strict=True)
        number = 0
        try:
            names = next(rows)
            _check_names(path, names)
        except (csv.Error, *_BROKEN) as error:
            raise UsageError(f"{path}: the header of the CSV file cannot be read: {error}") from None
        while True:
            number += 1
            try:
                cells = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(number, f"not valid CSV near line {rows.line_num}: {error}")
                continue
            except _BROKEN as error:
                yield _cut_off(number, error)
                return
            if not cells:
                number -= 1
            elif len(cells) != len(names):
                yield BadRow(number, f"{len(cells)} cells where the header has {len(names)} (near line {rows.line_num})")
            else:
                yield _cells(number, dict(zip(names, cells, strict=True)))


def _cells(number: int, record: dict[str, Any]) -> Record:
    for name, cell in record.items():
        if name in ("prompt", "chosen", "rejected", "responses"):
            if cell and (name == "responses" or cell.startswith("[{")):
                try:
                    record[name] = json.loads(cell)
                except ValueError as error:
                    return BadRow(number, f"{name}: the cell must be a JSON list: {error}")
        elif name in STRUCTURED:
            record[name] = parsed(cell)
        if cell == "":
            record[name] = None
    return number, record


def _parquet(path: File) -> Iterator[Record]:
    number = 0
    with _parquet_file(path) as stream:
        table = _open_parquet(path, stream)
        _check_names(path, table.schema_arrow.names)
        batches = table.iter_batches(batch_size=_BATCH)
        while True:
            try:
                batch = next(batches, None)
            except (OSError, ValueError) as error:
                yield _cut_off(number + 1, error)
                return
            if batch is None:
                return
            for record in batch.to_pylist():
                number += 1
                yield number, record


def _open_parquet(path: File, stream: IO[bytes]) -> Any:
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(stream)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a readable Parquet file ({error}); is it complete?") from None


def _parquet_file(path: File) -> IO[bytes]:
    """Parquet is read from its end, so a gzipped file is unpacked to a nameless temporary file first."""
    stream = _open(path)
    if not isinstance(stream, gzip.GzipFile):
        return stream
    plain = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the caller
    try:
        with stream:
            shutil.copyfileobj(stream, plain)
    except _BROKEN as error:
        plain.close()
        raise UsageError(f"{path}: cannot be unpacked ({error}); is the file complete?") from None
    plain.seek(0)
    return plain


def _check_names(path: File, names: list[str]) -> None:
    if len(set(names)) < len(names):
        raise UsageError(f"{path}: two columns have the same name: {', '.join(names)}")
