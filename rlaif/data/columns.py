"""A dataclass as a row of a file: declared once, its columns are written, read, checked, typed and described from there.

The type of a column is its annotation: a text, number or truth value, ``Rounded``, a ``TypedDict``, another ``Entry``, a tuple
of one of these, any of them or None, and ``Any`` for what can be anything that JSON holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from itertools import repeat
from types import NoneType, UnionType
from typing import Annotated, Any, NamedTuple, NotRequired, Self, Union, get_args, get_origin, get_type_hints, is_typeddict

DIGITS = 6
"""Decimals kept in files. The store keeps everything."""
Rounded = Annotated[float, DIGITS]
"""A number that is written with ``DIGITS`` decimals."""

_SCALARS: Mapping[Any, tuple[type | tuple[type, ...], str]] = {
    str: (str, "a text"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    bool: (bool, "true or false"),
}


class ColumnError(ValueError):
    """A row does not hold what its columns ask for; the message begins with the column."""


class Column(NamedTuple):
    """hint: the annotation. meaning: what the dataset card and docs/rows.md say. computed: from other columns, never read.
    sparse: left out of the file where it is None. read, write: between JSON and the attribute; read raises ColumnError."""

    hint: Any
    meaning: str
    required: bool
    computed: bool
    sparse: bool
    read: Callable[[Any], Any]
    write: Callable[[Any], Any]


def column(meaning: str, *, default: Any = MISSING, sparse: bool = False, computed: bool = False) -> Any:
    """A dataclass field that is a column. default: its value in files that lack it; without one, it must be there.
    computed: by ``__post_init__``, from other columns."""
    return field(default=default, init=not computed, metadata={"meaning": meaning, "sparse": sparse})


class Entry:
    """A dataclass of columns that is part of a row."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it, in the order of the columns."""
        layout = _layout(type(self))
        values = dict(zip(layout.names, map(getattr, repeat(self), layout.names), strict=True))
        for name, write in layout.written.items():
            if values[name] is not None:
                values[name] = write(values[name])
        for name in layout.sparse:
            if values[name] is None:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Of a row that was written, perhaps by an earlier version. Raises ColumnError where it does not fit."""
        return cls(**_read(cls, values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Entry):
    """A row of a file. extra: the other columns of the user's source, after the record's own."""

    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {**Entry.to_dict(self), **self.extra}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        own = columns(cls)
        return cls(**_read(cls, values), extra={name: value for name, value in values.items() if name not in own})


class _Layout(NamedTuple):
    """How an entry is written. written: of the columns that JSON holds otherwise, how values that are there are."""

    names: Sequence[str]
    written: Mapping[str, Callable[[Any], Any]]
    sparse: Sequence[str]


_known: dict[type, Mapping[str, Column]] = {}
_layouts: dict[type, _Layout] = {}


def _layout(kind: type[Entry]) -> _Layout:
    if kind not in _layouts:
        every = columns(kind)
        written = {name: _codec(optional(each.hint) or each.hint)[1] for name, each in every.items()}
        changed = {name: write for name, write in written.items() if write is not _as_it_is}
        _layouts[kind] = _Layout([*every], changed, [name for name, each in every.items() if each.sparse])
    return _layouts[kind]


def columns(kind: type[Entry]) -> Mapping[str, Column]:
    """An entry's columns in order, by name."""
    if kind not in _known:
        hints = get_type_hints(kind, include_extras=True)
        declared = [item for item in fields(kind) if "meaning" in item.metadata]  # type: ignore[arg-type]
        _known[kind] = {item.name: _column(item, hints[item.name]) for item in declared}
    return _known[kind]


def _column(item: Field[Any], hint: Any) -> Column:
    read, write = _codec(hint)
    required, computed = item.default is MISSING, not item.init
    return Column(hint, item.metadata["meaning"], required, computed, item.metadata["sparse"], read, write)


def meanings(kind: type[Entry]) -> dict[str, str]:
    """What each column means, in one sentence; of a list of entries, what each of its fields means too."""
    return {name: each.meaning + _fields(each.hint) for name, each in columns(kind).items()}


def entry_in(hint: Any) -> type[Entry] | None:
    """The kind of entry that an annotation holds, if any."""
    if isinstance(hint, type) and issubclass(hint, Entry):
        return hint
    return next((kind for inner in get_args(hint) if (kind := entry_in(inner))), None)


def optional(hint: Any) -> Any:
    """X of ``X | None``; None for any other annotation."""
    if get_origin(hint) not in (Union, UnionType):
        return None
    return next(inner for inner in get_args(hint) if inner is not NoneType)


def required_keys(kind: Any) -> dict[str, Any]:
    """The keys that every value of a ``TypedDict`` has, and their types."""
    hints = get_type_hints(kind, include_extras=True)
    return {name: hint for name, hint in hints.items() if get_origin(hint) is not NotRequired}


def _fields(hint: Any) -> str:
    kind = entry_in(hint)
    if kind is None:
        return ""
    return ": " + "; ".join(f"`{name}`, {meaning}" for name, meaning in meanings(kind).items()) + "."


def _read(kind: type[Entry], values: Mapping[str, Any]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for name, each in columns(kind).items():
        if each.computed:
            continue
        if name in values:
            try:
                known[name] = each.read(values[name])
            except ColumnError as error:
                raise ColumnError(f"{name}: {error}") from None
        elif each.required:
            raise ColumnError(f"{name}: missing")
    return known


def _codec(hint: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """How values of a type are read from JSON, and written to it."""
    if get_origin(hint) is Annotated:
        number, digits = get_args(hint)
        return _codec(number)[0], lambda value: round(value, digits)
    if inner := optional(hint):
        read, write = _codec(inner)
        return (
            lambda value: None if value is None else read(value),
            lambda value: None if value is None else write(value),
        )
    if get_origin(hint) is tuple:
        return _list_codec(get_args(hint)[0])
    if entry_in(hint):
        return lambda value: hint.from_dict(_object(value)), lambda value: value.to_dict()
    if is_typeddict(hint):
        keys = required_keys(hint)
        return lambda value: _typed_dict(value, keys), _as_it_is
    if hint in _SCALARS:
        return _scalar_reader(hint), _as_it_is
    return _as_it_is, _as_it_is


def _list_codec(hint: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    read, write = _codec(hint)

    def read_all(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise ColumnError(f"must be a list, found {value!r:.60}")
        return tuple([read(inner) for inner in value])

    return read_all, lambda value: [write(inner) for inner in value]


def _scalar_reader(hint: Any) -> Callable[[Any], Any]:
    allowed, expected = _SCALARS[hint]

    def read(value: Any) -> Any:
        if not isinstance(value, allowed) or (isinstance(value, bool) and hint is not bool):
            raise ColumnError(f"must be {expected}, found {value!r:.60}")
        return value

    return read


def _typed_dict(value: Any, keys: Mapping[str, Any]) -> Any:
    for name, kind in keys.items():
        if not isinstance(_object(value).get(name), kind):
            raise ColumnError(f"must have a {name}, found {value!r:.60}")
    return value


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ColumnError(f"must be an object, found {value!r:.60}")
    return value


def _as_it_is(value: Any) -> Any:
    return value
