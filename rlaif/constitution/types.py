"""What a constitution is once it has been read and found sound."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from rlaif.data.rows import Turn

Aggregate = Literal["weighted", "sampled", "worst"]
AGGREGATES: tuple[str, ...] = get_args(Aggregate)
WORDING_KEYS = ("compare", "score", "critique", "revise")
"""The modes that a principle may have a wording of its own for."""

Scalar = str | int | float | bool


@dataclass(frozen=True)
class Example:
    """What a principle means, shown. prompt: a conversation; a plain text in the file is one user turn. critique: what is wrong
    with the worse response, empty where the file does not say."""

    prompt: tuple[Turn, ...]
    better: str
    worse: str
    critique: str = ""


@dataclass(frozen=True)
class Principle:
    """One thing that makes a response better.

    weight: how much it counts beside the others, 0 or more.
    gate: in (0.5, 1]; when the critic is at least this sure, this principle alone decides. None: no gate.
    when: column to the values that match; None: every row.
    wordings: mode to this principle's own wording for it, for the modes that have one.
    """

    id: str
    text: str
    weight: float = 1.0
    gate: float | None = None
    when: Mapping[str, tuple[Scalar, ...]] | None = field(default=None, hash=False)
    wordings: Mapping[str, str] = field(default_factory=dict, hash=False)
    examples: tuple[Example, ...] = field(default=(), hash=False)

    def applies(self, extra: Mapping[str, Any]) -> bool:
        """Whether a row with these columns is asked: each key of ``when`` names a column that holds a value it lists.

        A column may hold one value or a list. A row without the column does not match.
        """
        return not self.when or all(
            not {_plain(value) for value in allowed}.isdisjoint(_plain(value) for value in _values(extra.get(column)))
            for column, allowed in self.when.items()
        )


@dataclass(frozen=True)
class Constitution:
    """Principles, and how verdicts on them are put together. sources: the file and those it extends, nearest first."""

    name: str
    version: int
    principles: tuple[Principle, ...]
    description: str = ""
    aggregate: Aggregate = "weighted"
    sources: tuple[Path, ...] = field(default=(), compare=False)

    @staticmethod
    def load(named: str | Path) -> Constitution:
        """The constitution of a YAML file, or the shipped one of that name. Raises UsageError naming every mistake."""
        from rlaif.constitution.load import load_constitution

        return load_constitution(named)

    def resolved(self) -> dict[str, Any]:
        """Everything the constitution says, ``extends`` carried out, as plain data that JSON and the schema accept."""
        return {
            "name": self.name,
            "version": self.version,
            **({"description": self.description} if self.description else {}),
            "aggregate": self.aggregate,
            "principles": [_resolved(principle) for principle in self.principles],
        }

    @cached_property
    def digest(self) -> str:
        """16 hex digits that change with what the constitution means: its principles, their order, its aggregation.

        Its name, version and description, comments, and whether it was written in one file or several do not matter.
        """
        meaning = [self.aggregate, [_resolved(principle) for principle in self.principles]]
        text = json.dumps(meaning, ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _resolved(principle: Principle) -> dict[str, Any]:
    when = {column: list(values) for column, values in (principle.when or {}).items()}
    examples = [
        {
            "prompt": [dict(turn) for turn in example.prompt],
            "better": example.better,
            "worse": example.worse,
            **({"critique": example.critique} if example.critique else {}),
        }
        for example in principle.examples
    ]
    return {
        "id": principle.id,
        "text": principle.text,
        "weight": float(principle.weight),
        **({"gate": float(principle.gate)} if principle.gate is not None else {}),
        **({"when": when} if when else {}),
        **{mode: principle.wordings[mode] for mode in WORDING_KEYS if mode in principle.wordings},
        **({"examples": examples} if examples else {}),
    }


def _values(cell: Any) -> tuple[Any, ...]:
    return tuple(cell) if isinstance(cell, list | tuple | set | frozenset) else (cell,)


def _plain(value: Any) -> str | None:
    """A value as text: CSV has no types, so ``1``, ``1.0`` and ``"1"`` must match each other, and ``true`` ``"true"``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, str | int | float) else None
