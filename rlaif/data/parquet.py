"""JSONL to Parquet with bounded memory and types that hold over all records."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rlaif.data.write import atomic_path, dumps

_BATCH = 512
_MOST_FIELDS = 200
"""Nested fields above which a column holds keys of its own in every record rather than a structure: it becomes JSON text."""

_TURNS = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))
_ASKED = {
    "weight": pa.float64(),
    "mass": pa.float64(),
    "cut": pa.int64(),
    "failure": pa.string(),
    "jury": pa.list_(pa.float64()),
}
KNOWN: dict[str, dict[str, pa.DataType]] = {
    "preferences": {
        "id": pa.string(),
        "prompt": _TURNS,
        "chosen": _TURNS,
        "rejected": _TURNS,
        "p_chosen": pa.float64(),
        "margin": pa.float64(),
        "principles": pa.list_(pa.struct({"id": pa.string(), "p": pa.float64(), "gap": pa.float64(), **_ASKED})),
        "rationale": pa.string(),
        "critic": pa.string(),
        "row": pa.int64(),
        "chosen_index": pa.int64(),
        "rejected_index": pa.int64(),
        "gold": pa.list_(pa.struct({"id": pa.string(), "margin": pa.float64()})),
    },
    "scores": {
        "id": pa.string(),
        "prompt": _TURNS,
        "response": _TURNS,
        "score": pa.float64(),
        "principles": pa.list_(pa.struct({"id": pa.string(), "score": pa.float64(), **_ASKED})),
        "critic": pa.string(),
        "row": pa.int64(),
        "index": pa.int64(),
        "gold": pa.list_(pa.struct({"id": pa.string(), "score": pa.float64()})),
    },
}
"""Types of our own columns, by the name of the file: they hold even where every value is null, or there is no record."""


class _ConflictError(Exception):
    """A column's values do not fit the type that was found for it."""


def convert(jsonl: Path, parquet: Path) -> None:
    """See ``rlaif.data.write.write_parquet``."""
    types = _types(jsonl, dict(KNOWN.get(jsonl.stem, {})))
    while True:
        try:
            _write(jsonl, parquet, types)
            return
        except _ConflictError as conflict:
            # Values that fit one by one and not together, such as 2**60 + 1 and 0.5. Ends, as text holds everything.
            types[str(conflict)] = None


def _types(jsonl: Path, types: dict[str, Any]) -> dict[str, Any]:
    """By column in order of appearance: the type that holds every value, None for JSON text."""
    for records in _batches(jsonl):
        for name in dict.fromkeys(key for record in records for key in record):
            if types.get(name, pa.null()) is None:
                continue
            try:
                found = pa.array([record.get(name) for record in records]).type
                types[name] = _both(types.get(name, pa.null()), found)
            except (pa.ArrowException, OverflowError):
                types[name] = None
    return {name: held if held is not None and _storable(held) else None for name, held in types.items()}


def _both(first: Any, second: Any) -> Any:
    """The type that holds what either holds. Raises ArrowException where there is none."""
    fields = [pa.schema([pa.field("column", held)]) for held in (first, second)]
    return pa.unify_schemas(fields, promote_options="permissive").field(0).type


def _storable(held: Any) -> bool:
    """Whether Parquet can store it (no structure without fields) and a reader would want it (not hundreds of fields)."""
    sizes = list(_struct_sizes(held))
    return 0 not in sizes and sum(sizes) <= _MOST_FIELDS


def _struct_sizes(held: Any) -> Iterator[int]:
    if pa.types.is_list(held):
        yield from _struct_sizes(held.value_type)
    elif pa.types.is_struct(held):
        yield held.num_fields
        for number in range(held.num_fields):
            yield from _struct_sizes(held.field(number).type)


def _write(jsonl: Path, parquet: Path, types: dict[str, Any]) -> None:
    schema = pa.schema([pa.field(name, pa.string() if held is None else held) for name, held in types.items()])
    with atomic_path(parquet) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for records in _batches(jsonl):
            columns = [_column(name, types[name], [record.get(name) for record in records]) for name in types]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _column(name: str, held: Any, values: list[Any]) -> Any:
    if held is None:
        return pa.array([None if value is None else dumps(value) for value in values], pa.string())
    try:
        return pa.array(values, held)
    except (pa.ArrowException, OverflowError):
        raise _ConflictError(name) from None


def _batches(jsonl: Path) -> Iterator[list[dict[str, Any]]]:
    with jsonl.open(encoding="utf-8", newline="\n") as lines:
        records = (json.loads(line) for line in lines)
        while batch := list(islice(records, _BATCH)):
            yield batch
