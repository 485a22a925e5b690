"""A constitution from its YAML file and those it extends. All problems of all files are reported at once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlaif.constitution.problems import Fault, describe, faults, nearest
from rlaif.constitution.read import MAX_BYTES, MAX_PROBLEMS, Source, read
from rlaif.constitution.types import WORDING_KEYS, Constitution, Example, Principle
from rlaif.data.rows import Turn
from rlaif.errors import UsageError
from rlaif.files import open_file
from rlaif.shipped import constitution_path, shipped_constitutions

if TYPE_CHECKING:
    from jsonschema import Draft7Validator

MAX_CHAIN = 16
"""Files, each of which extends the next."""
SCHEMA = Path(__file__).with_name("schema.json")


def load_constitution(named: str | Path) -> Constitution:
    """Read, check and merge. named: a path, or the name of a shipped constitution; a file of that name wins.

    Raises UsageError with one line per problem, each ``file:line:column: key: found …; allowed: …; did you mean …?``.
    """
    sources, broken = _chain(constitution_path(named))
    for source in sources:
        _check(source)
    if "extends" not in _mapping(sources[-1]) and not any(source.problems for source in sources[1:]):
        _check_merged(sources)
    lines = [line for source in sources for line in source.lines()] + broken
    if lines:
        raise UsageError("\n".join(lines))
    return _build(sources)


def from_resolved(said: Mapping[str, Any]) -> Constitution:
    """The constitution whose ``resolved()`` this is, as ``run.json`` holds it."""
    return Constitution(
        name=said["name"],
        version=int(said["version"]),
        description=said.get("description", ""),
        aggregate=said.get("aggregate", "weighted"),
        principles=tuple(_principle(raw) for raw in said["principles"]),
    )


def _chain(path: Path) -> tuple[list[Source], list[str]]:
    """The file, what it extends, and so on, nearest first; and why the last of them could not be read, if so."""
    sources: list[Source] = []
    while True:
        try:
            with open_file(path) as file:
                content = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = _unreadable(path, error)
            if not sources:
                raise UsageError(f"{path}: {reason}") from None
            sources[-1].add(Fault(("extends",), f"found {describe(sources[-1].data['extends'])}; {reason}"))
            return sources, []
        try:
            source = read(path, content)
        except UsageError as error:
            if not sources:
                raise
            return sources, [str(error)]
        sources.append(source)
        base = _mapping(source).get("extends")
        if not isinstance(base, str) or not base.strip():
            return sources, []
        path = constitution_path(base, source.path.parent)
        if _real(path) in [_real(earlier.path) for earlier in sources]:
            names = [str(earlier.path) for earlier in sources] + [str(path)]
            source.add(Fault(("extends",), f"is a cycle: {' -> '.join(names)}"))
            return sources, []
        if len(sources) == MAX_CHAIN:
            source.add(Fault(("extends",), f"the chain is longer than {MAX_CHAIN} files; allowed: a shorter one"))
            return sources, []


def _mapping(source: Source) -> dict[str, Any]:
    return source.data if isinstance(source.data, dict) else {}


def _real(path: Path) -> str:
    try:
        return os.path.realpath(path)
    except ValueError:  # a NUL in the name; opening it says so
        return str(path)


def _unreadable(path: Path, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        beside = sorted(p.name for p in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
        shipped = [] if path.suffix else [*shipped_constitutions()]
        named = f", and no shipped constitution ({', '.join(shipped)})" if shipped else ""
        return f"no such file{named}{nearest(path.name, [*beside, *shipped], cutoff=0.75)}"
    if isinstance(error, IsADirectoryError):
        return "a folder; allowed: a YAML file"
    return f"cannot be read: {getattr(error, 'strerror', None) or error}"


@cache
def _validator() -> Draft7Validator:
    from jsonschema import Draft7Validator

    return Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _check(source: Source) -> None:
    """The checks of one file: the schema, and what a schema cannot express."""
    for error in _validator().iter_errors(source.data):
        if tuple(error.absolute_path) not in source.faulty:
            for fault in islice(faults(error), MAX_PROBLEMS + 1):
                source.add(fault)
        if len(source.problems) > MAX_PROBLEMS:
            break
    first: dict[str, int] = {}
    for number, raw in _principles(source):
        where = ("principles", number)
        if raw["id"] in first:
            line = source.values["principles", first[raw["id"]], "id"].line
            source.add(Fault((*where, "id"), f"found {describe(raw['id'])} again; the first is on line {line}; ids are unique"))
        first.setdefault(raw["id"], number)
        examples = raw.get("examples")
        for index, example in enumerate(examples if isinstance(examples, list) else ()):
            if (
                isinstance(example, dict)
                and isinstance(example.get("better"), str)
                and example["better"] == example.get("worse")
            ):
                source.add(
                    Fault((*where, "examples", index, "worse"), "found the same text as better; allowed: a worse response")
                )


def _check_merged(sources: list[Source]) -> None:
    """What only shows once bases are known: a new id without a text, weights that leave nothing."""
    known: dict[str, None] = {}  # in order, for the nearest
    for source in reversed(sources):
        for number, raw in _principles(source):
            if len(source.problems) > MAX_PROBLEMS:
                break
            if raw["id"] not in known:
                if source is not sources[-1] and "text" not in raw:
                    reason = f"missing; no principle of {source.data['extends']} has this id{nearest(raw['id'], known)}"
                    source.add(Fault(("principles", number, "text"), reason))
                known[raw["id"]] = None
    weights = [raw.get("weight", 1) for raw in _merge(sources).values()]
    if weights and all(weight == 0 for weight in weights):
        sources[0].add(Fault(("principles",), "every weight is 0; allowed: at least one above 0", on_key=True))


def _principles(source: Source) -> Iterator[tuple[int, dict[str, Any]]]:
    """The principles that can be told apart, in a file that may hold anything."""
    principles = _mapping(source).get("principles")
    for number, raw in enumerate(principles if isinstance(principles, list) else ()):
        if isinstance(raw, dict) and isinstance(raw.get("id"), str):
            yield number, raw


def _merge(sources: list[Source]) -> dict[str, dict[str, Any]]:
    """Principles by id, bases first: the same id overrides key by key where it stands, a new one is appended."""
    merged: dict[str, dict[str, Any]] = {}
    for source in reversed(sources):
        for _, raw in _principles(source):
            merged.setdefault(raw["id"], {}).update(raw)
    return merged


def _build(sources: list[Source]) -> Constitution:
    inherited: dict[str, Any] = {}
    for source in reversed(sources):
        inherited |= source.data
    return Constitution(
        name=inherited["name"],
        version=int(inherited["version"]),
        description=inherited.get("description", ""),
        aggregate=inherited.get("aggregate", "weighted"),
        principles=tuple(_principle(raw) for raw in _merge(sources).values()),
        sources=tuple(source.path for source in sources),
    )


def _principle(raw: Mapping[str, Any]) -> Principle:
    when = raw.get("when")
    return Principle(
        id=raw["id"],
        text=raw["text"],
        weight=float(raw.get("weight", 1)),
        gate=None if raw.get("gate") is None else float(raw["gate"]),
        when=when and {column: tuple(v) if isinstance(v, list) else (v,) for column, v in when.items()},
        wordings={mode: raw[mode] for mode in WORDING_KEYS if raw.get(mode) is not None},
        examples=tuple(_example(example) for example in raw.get("examples", ())),
    )


def _example(raw: Mapping[str, Any]) -> Example:
    prompt = raw["prompt"]
    turns = (
        [Turn(role="user", content=prompt)]
        if isinstance(prompt, str)
        else [Turn(role=t["role"], content=t["content"]) for t in prompt]
    )
    return Example(prompt=tuple(turns), better=raw["better"], worse=raw["worse"], critique=raw.get("critique", ""))
