"""``--settings FILE``: settings of steps, in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rlaif.compare.files import WRITERS
from rlaif.compare.recipes import STEPS
from rlaif.compare.steps import groups_of, kind_of
from rlaif.config_file import schema
from rlaif.yaml_file import read_settings, settle

DECIDED = ("source", "out", "seed", "overwrite")
"""Settings that the comparison decides."""


def read_given(path: Path | None) -> Mapping[str, Mapping[str, Any]]:
    """By step. Raises UsageError with one line per problem, each ``file:line:column: key: found …; allowed: …``."""
    if path is None:
        return {}
    source = read_settings(path, _schema(), "settings of steps", "one step")
    settle(source)
    return {step: dict(settings or {}) for step, settings in (source.data or {}).items()}


def _schema() -> dict[str, Any]:
    """Of the file: each step has the settings of its command."""
    of = {name: _settings_of(step.command) for name, step in STEPS.items() if step.command not in WRITERS}
    for name, step in STEPS.items():
        for group in groups_of(step):
            of.setdefault(group, {"type": "object", "properties": {}, "additionalProperties": False})
            of[group]["properties"].update(of[name]["properties"])
    return {"type": "object", "properties": of, "additionalProperties": False}


def _settings_of(command: str) -> dict[str, Any]:
    rules = schema(kind_of(command))
    rules["properties"] = {key: each for key, each in rules["properties"].items() if key not in DECIDED}
    return rules
