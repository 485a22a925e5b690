"""YAML files of settings, checked by a JSON Schema; every problem is told at once, with its place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlaif.constitution.problems import faults
from rlaif.constitution.read import MAX_BYTES, Source, read
from rlaif.errors import UsageError


def read_settings(path: Path, schema: Path | Mapping[str, Any], kind: str, least: str) -> Source:
    """Read and check. Problems are in the result: see ``settle``.

    schema: a JSON Schema, or the file of one. kind, least: what the file is and must hold, for messages.

    Raises UsageError where the file cannot be read or is not YAML.
    """
    from jsonschema import Draft7Validator

    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    source = read(path, content, kind, least)
    rules: Any = json.loads(schema.read_text(encoding="utf-8")) if isinstance(schema, Path) else schema
    for wrong in Draft7Validator(rules).iter_errors(source.data):
        if tuple(wrong.absolute_path) not in source.faulty:
            for fault in faults(wrong):
                source.add(fault)
    return source


def settle(source: Source) -> None:
    """Raises UsageError with one line per problem, each ``file:line:column: key: found …; allowed: …``."""
    if source.problems:
        raise UsageError("\n".join(str(problem) for problem in sorted(set(source.problems))))
