"""YAML into plain data that knows where in the file each part of it stands.

Only the parser of ruamel.yaml runs, never a constructor of objects: a tag can create nothing. What a small file can grow
into through aliases is bounded, and so is its depth.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from rlaif.constitution.problems import Fault, Mark, Problem, Where, describe
from rlaif.errors import UsageError

MAX_BYTES = 500_000
MAX_DEPTH = 16
MAX_PROBLEMS = 20
"""Problems of one file that are told: the same mistake in every line needs no more."""


@dataclass
class Source:
    """One file as read. data: mappings, lists and scalars. keys, values: where each key and each value stands.

    faulty: values that could not be read and stand as None; what the schema says of them is beside the point.
    """

    path: Path
    data: Any = None
    keys: dict[Where, Mark] = field(default_factory=dict)
    values: dict[Where, Mark] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    faulty: set[Where] = field(default_factory=set)

    def add(self, fault: Fault) -> None:
        """Note a problem at a value, or at its key; what is not there is a problem of the part that lacks it."""
        mark = self.keys.get(fault.where) if fault.on_key else self.values.get(fault.where)
        up = fault.where
        while mark is None:
            up = up[:-1]
            mark = self.values.get(up)
        self.report(mark, fault.where, fault.text)

    def report(self, mark: Mark, where: Where, text: str) -> None:
        """Note a problem at a position."""
        if len(self.problems) <= MAX_PROBLEMS:
            self.problems.append(Problem(mark, str(self.path), self.key(where), text))

    def lines(self) -> list[str]:
        """The problems in their order, each on a line."""
        messages = [str(problem) for problem in sorted(set(self.problems))]
        more = [f"{self.path}: there are more problems; these come first"] if len(messages) > MAX_PROBLEMS else []
        return messages[:MAX_PROBLEMS] + more

    def key(self, where: Where) -> str:
        """A key as messages write it: ``principles[harmless].gate``; by number where there is no id to go by."""
        text, value = "", self.data
        for step in where:
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                value = None  # a key that is missing, or below something that could not be read
            if isinstance(step, int):
                name = value.get("id") if isinstance(value, dict) else None
                text += f"[{name}]" if isinstance(name, str) and name and len(name) <= 60 else f"[#{step + 1}]"
            else:
                text += f"{'.' if text else ''}{step if len(step) <= 60 else step[:57] + '...'}"
        return text if text.isprintable() else ascii(text)[1:-1]


def read(path: Path, content: bytes, kind: str = "constitution", least: str = "name, version and principles") -> Source:
    """Parse one file. kind: what it should be; least: what it must hold; both for messages.

    Raises UsageError, with the position, for what is not YAML at all; lesser problems are collected.
    """
    if len(content) > MAX_BYTES:
        raise UsageError(f"{path}:1:1: larger than {MAX_BYTES:,} bytes; this is not a {kind}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        mark = _at(content[: error.start].decode("utf-8", errors="replace"))
        raise UsageError(
            f"{path}:{mark.line}:{mark.column}: not UTF-8: byte 0x{content[error.start]:02x}; save it as UTF-8"
        ) from None
    root = _compose(path, text, kind)
    if root is None:
        raise UsageError(f"{path}:1:1: empty; a {kind} has at least {least}")
    source = Source(path)
    _Builder(source).run(root)
    return source


def _compose(path: Path, text: str, kind: str) -> Node | None:
    """The parsed tree. The parser runs on whatever the file holds and may fail in ways that it does not document."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            root: Node | None = YAML(typ="safe", pure=True).compose(text)
            return root
    except RecursionError:
        raise UsageError(f"{path}:1:1: nested too deeply; this is not a {kind}") from None
    except Exception as error:
        position = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        mark = Mark(position.line + 1, position.column + 1) if position else _at(text[: getattr(error, "position", 0)])
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or type(error).__name__
        if isinstance(error, MarkedYAMLError) and error.context:
            reason = f"{error.context}, {reason}"
        raise UsageError(f"{path}:{mark.line}:{mark.column}: not valid YAML: {' '.join(str(reason).split())}") from None


def _at(before: str) -> Mark:
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _mark(node: Node) -> Mark:
    return Mark(node.start_mark.line + 1, node.start_mark.column + 1)


def _kind(node: Node) -> str:
    return (node.tag or "").removeprefix("tag:yaml.org,2002:")


class _Builder:
    """Turns nodes into data. An alias is copied out; ``budget`` bounds what a file may grow to."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.budget = 2 * MAX_BYTES
        self.pending: list[tuple[Mark, Where, str]] = []

    def run(self, root: Node) -> None:
        self.source.data = self._value(root, ())
        for mark, where, text in self.pending:  # only now: the finished data tells a problem's key
            self.source.report(mark, where, text)

    def _value(self, node: Node, where: Where) -> Any:
        mark = self.source.values.setdefault(where, _mark(node))
        self.budget -= 1 + (len(node.value) if isinstance(node, ScalarNode) else 0)
        if self.budget < 0:
            raise UsageError(f"{self.source.path}:{mark.line}:{mark.column}: its aliases make this file too large")
        try:
            if len(where) > MAX_DEPTH:
                raise ValueError(f"nested too deeply (more than {MAX_DEPTH} levels)")
            if isinstance(node, MappingNode) and _kind(node) == "map":
                return dict(self._items(node, where))
            if isinstance(node, SequenceNode) and _kind(node) == "seq":
                return [self._value(item, (*where, number)) for number, item in enumerate(node.value)]
            if isinstance(node, ScalarNode):
                return _scalar(node)
            raise ValueError(_unwanted(node))
        except ValueError as error:
            self.source.faulty.add(where)
            self.pending.append((mark, where, str(error)))
            return None

    def _items(self, node: MappingNode, where: Where) -> Iterator[tuple[str, Any]]:
        for key_node, value_node in node.value:
            mark = _mark(key_node)
            # Columns in `when` may be called 2024 or yes: whatever YAML would read, a key is its text.
            name = key_node.value if isinstance(key_node, ScalarNode) else None
            if name is None or not _encodable(name):
                self.pending.append((mark, where, "found a key that is not a text; allowed: plain names"))
                continue
            if earlier := self.source.keys.get((*where, name)):
                self.pending.append((mark, (*where, name), f"set twice; the first is on line {earlier.line}; keep one"))
                continue
            self.source.keys[*where, name] = mark
            self.budget -= len(name)
            if isinstance(value_node, ScalarNode) and _kind(value_node) == "null" and not value_node.value:
                self.source.values[*where, name] = mark  # a value left out has no place of its own
            yield name, self._value(value_node, (*where, name))


def _scalar(node: ScalarNode) -> Any:
    """Text, number, true, false or null. Raises ValueError, saying what is allowed, for anything else."""
    text = node.value
    kind = _kind(node)
    if kind in ("str", "timestamp"):  # a bare date is a text here
        if not _encodable(text):
            raise ValueError("found half of a surrogate pair; allowed: characters that UTF-8 can hold")
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("true", "yes", "on")
    if kind in ("int", "float"):
        try:
            number: float = getattr(SafeConstructor(loader=YAML(typ="safe", pure=True)), f"construct_yaml_{kind}")(node)
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise ValueError(f"found {describe(text)}; allowed: a finite number")
        return number
    raise ValueError(_unwanted(node))


def _unwanted(node: Node) -> str:
    return f"found the tag {describe(_kind(node))}; allowed: plain YAML without tags"


def _encodable(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
