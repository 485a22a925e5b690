"""JSONL to Parquet with bounded memory and types that hold over all records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, is_typeddict

import pyarrow as pa
import pyarrow.parquet as pq

from rlaif.data.columns import columns, entry_in, optional, required_keys
from rlaif.data.records import RECORDS
from rlaif.data.write import atomic_path, dumps

_BATCH = 512
_MOST_FIELDS = 200
"""Nested fields above which a column holds keys of its own in every record rather than a structure: it becomes JSON text."""
_SCALARS = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}


class _ConflictError(Exception):
    """A column's values do not fit the type that was found for it."""


def write_parquet(jsonl: Path, parquet: Path) -> None:
    """The records of ``jsonl`` as Parquet, in one streaming pass where the first records tell every column's type; where later
    ones have others, in two more: one finds the types, one writes.

    A column whose records conflict in type becomes JSON text. Files of our own are known by name (``data.records.RECORDS``):
    their columns keep their types even where every value is null, or there is no record.
    """
    own = own_types(jsonl.stem)
    types = _types(islice(_batches(jsonl), 1), own)
    if None not in types.values():  # what is text so far could turn out to be a structure
        with suppress(_ConflictError):
            _write(_as_typed(_batches(jsonl), types), parquet, types)
            return
    types = _types(_batches(jsonl), own)
    while True:
        try:
            _write(_batches(jsonl), parquet, types)
            return
        except _ConflictError as conflict:
            # Values that fit one by one and not together, such as 2**60 + 1 and 0.5. Ends, as text holds everything.
            types[str(conflict)] = None


def own_types(name: str) -> dict[str, Any]:
    """The Parquet types of the columns that the file called ``name`` always has; of a column of anything, none."""
    kind = RECORDS.get(name)
    always = {name: each for name, each in columns(kind).items() if not each.sparse} if kind else {}
    types = {name: _type(each.hint) for name, each in always.items()}
    return {name: held for name, held in types.items() if held is not None}


def _type(hint: Any) -> Any:
    """A column's annotation as a Parquet type; None where values of any type may come."""
    if get_origin(hint) is Annotated or optional(hint):
        return _type(optional(hint) or get_args(hint)[0])
    if get_origin(hint) is tuple:
        inner = _type(get_args(hint)[0])
        return None if inner is None else pa.list_(inner)
    kind = entry_in(hint)
    if kind:
        return pa.struct([(name, _type(each.hint)) for name, each in columns(kind).items() if not each.sparse])
    if is_typeddict(hint):
        return pa.struct([(name, _type(held)) for name, held in required_keys(hint).items()])
    return _SCALARS.get(hint)


def _types(batches: Iterable[list[dict[str, Any]]], known: Mapping[str, Any]) -> dict[str, Any]:
    """By column, those that are known and then in order of appearance: the type that holds every value, None for JSON text."""
    types = dict(known)
    for records in batches:
        for name in dict.fromkeys(key for record in records for key in record):
            if types.get(name, pa.null()) is None:
                continue
            try:
                seen = pa.array([record.get(name) for record in records]).type
                types[name] = _both(types.get(name, pa.null()), seen)
            except (pa.ArrowException, OverflowError):
                types[name] = None
    return {name: held if held is not None and _storable(held) else None for name, held in types.items()}


def _as_typed(batches: Iterable[list[dict[str, Any]]], types: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The batches, as long as ``types`` hold all of their values."""
    for records in batches:
        if _types([records], types) != types:
            raise _ConflictError
        yield records


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


def _write(batches: Iterable[list[dict[str, Any]]], parquet: Path, types: Mapping[str, Any]) -> None:
    schema = pa.schema([pa.field(name, pa.string() if held is None else held) for name, held in types.items()])
    with atomic_path(parquet) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for records in batches:
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
