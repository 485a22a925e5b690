"""What is wrong with a constitution file, in one line that an editor can follow."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jsonschema import ValidationError

Where = tuple[str | int, ...]
"""The way to a value from the top of a file: keys of mappings, numbers of list items."""


class Mark(NamedTuple):
    """A position in a file, both counted from 1; columns count characters."""

    line: int
    column: int


class Problem(NamedTuple):
    """One thing that is wrong. Problems of one file sort by position."""

    mark: Mark
    file: str
    key: str
    text: str

    def __str__(self) -> str:
        key = f"{self.key}: " if self.key else ""
        return f"{self.file}:{self.mark.line}:{self.mark.column}: {key}{self.text}"


class Fault(NamedTuple):
    """A problem before it has a position. on_key: the position is that of the key, not of its value."""

    where: Where
    text: str
    on_key: bool = False


def nearest(name: object, valid: Iterable[str], cutoff: float = 0.6) -> str:
    """``; did you mean X?`` for the valid name that is most like ``name``; nothing when none is
    as like as ``cutoff`` (1 is the same)."""
    close = difflib.get_close_matches(str(name)[:100], list(islice(valid, 1000)), n=1, cutoff=cutoff)
    return f"; did you mean {close[0]}?" if close else ""


def describe(value: object) -> str:
    """A value as a message shows it: short, on one line, in YAML's words."""
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else f"{value[:57]!r}..."
    if isinstance(value, dict | list):
        kind = "mapping" if isinstance(value, dict) else "list"
        return f"a {kind}" if value else f"an empty {kind}"
    if value is None or isinstance(value, bool):
        return "nothing" if value is None else str(value).lower()
    return str(value)[:60]


def faults(error: ValidationError) -> Iterator[Fault]:
    """The schema's complaint, retold. One complaint may be several faults: each unknown or missing key is its own."""
    where: Where = tuple(error.absolute_path)
    rule = error.validator
    instance: Any = error.instance
    schema: Any = error.schema
    if rule == "additionalProperties":
        for key in (key for key in instance if key not in schema["properties"]):
            names = schema["properties"]
            yield Fault((*where, key), f"unknown key; allowed: {', '.join(names)}{nearest(key, names)}", on_key=True)
    elif rule == "required":
        for key in (key for key in schema["required"] if key not in instance):
            yield Fault((*where, key), "missing; this key is required", on_key=True)
    elif rule == "anyOf":
        yield from _branch(error)
    else:
        near = nearest(instance, map(str, schema["enum"])) if rule == "enum" else ""
        yield Fault(where, f"found {describe(instance)}; allowed: {allowed(schema)}{near}")


def _branch(error: ValidationError) -> Iterator[Fault]:
    """Of several shapes, complain about the one whose type was meant; where none was, say which types there are."""
    schema: Any = error.schema
    branches: dict[int, list[ValidationError]] = {}
    for inner in error.context or ():
        branches.setdefault(int(inner.relative_schema_path[0]), []).append(inner)
    for inners in branches.values():
        if all(inner.validator != "type" or inner.relative_path for inner in inners):
            for inner in inners:
                yield from faults(inner)
            return
    choices = ", or ".join(allowed(branch) for branch in schema["anyOf"])
    yield Fault(tuple(error.absolute_path), f"found {describe(error.instance)}; allowed: {choices}")


_KINDS = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping",
    "null": "null",
}


def allowed(schema: Any) -> str:
    """What a part of the schema lets in, in words."""
    if "enum" in schema:
        return ", ".join("null" if value is None else str(value) for value in schema["enum"])
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    text = " or ".join(_KINDS[kind] for kind in kinds if kind != "null")
    bounds = [
        *([f"above {schema['exclusiveMinimum']}"] if "exclusiveMinimum" in schema else []),
        *([f"at least {schema['minimum']}"] if "minimum" in schema else []),
        *([f"below {schema['exclusiveMaximum']}"] if "exclusiveMaximum" in schema else []),
        *([f"at most {schema['maximum']}"] if "maximum" in schema else []),
    ]
    if bounds:
        text += f" {' and '.join(bounds)}"
    if schema.get("pattern", "").startswith("^"):
        text += " in kebab-case (small letters, digits and single hyphens)"
    elif "pattern" in schema:
        text += " that is not blank"
    if "minItems" in schema or "minProperties" in schema:
        text += " that is not empty"
    return text + (", or null" if "null" in kinds else "")
