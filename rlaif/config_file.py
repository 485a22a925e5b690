"""The YAML form of a configuration: ``--config FILE``, and the ``config.yaml`` that every run leaves in its folder.

Keys are the settings' names. A relative path in the file is relative to the file, as in constitutions and mixes.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from dataclasses import MISSING
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from rlaif.data.write import atomic_write
from rlaif.errors import UsageError, without_secrets
from rlaif.settings import Setting, checked, flat, optional, settings_of
from rlaif.shipped import constitution_path
from rlaif.yaml_file import read_settings, settle

_PATH = re.compile(r"(script:)?(.*?)(:[A-Za-z_]\w*)?", re.DOTALL)
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", Path: "string"}


def schema(kind: type) -> dict[str, Any]:
    """JSON Schema of a configuration's YAML form."""
    properties = {name: _property(each) for name, each in settings_of(kind).items()}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def read_config(path: Path, kind: type) -> dict[str, Any]:
    """The settings that a file gives, by name.

    Raises UsageError with one line per problem, each ``file:line:column: key: found …; allowed: …``.
    """
    from rlaif.constitution.problems import Fault

    source = read_settings(path, schema(kind), "configuration", "one setting")
    known, values = settings_of(kind), {}
    for name, raw in (source.data if isinstance(source.data, dict) else {}).items():
        if name in known and not source.problems:
            try:
                values[name] = checked(known[name], _beside(raw, known[name], path.parent))
            except UsageError as error:
                source.add(Fault((name,), str(error)))
    settle(source)
    return values


def dump_config(config: Any, folder: Path, command: str) -> str:
    """A configuration as YAML that ``read_config`` reads back from a file in ``folder``; settings at their default left out.

    Paths are written relative to ``folder``, and secrets not at all.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap

    known = settings_of(type(config))
    document = CommentedMap()
    for name, value in flat(config).items():
        if known[name].default is MISSING or value != known[name].default:
            document[name] = _plain(value, known[name], folder)
    document.yaml_set_start_comment(f"rlaif {command} --config FILE runs this; a flag given beside it wins")
    text, yaml = io.StringIO(), YAML()
    yaml.width = 10**9
    yaml.dump(document, text)
    return text.getvalue()


def shown(config: Any) -> dict[str, Any]:
    """A configuration as ``run.json`` holds it, by the settings' names."""

    def plain(value: Any) -> Any:
        if isinstance(value, tuple | list):
            return [plain(item) for item in value]
        return without_secrets(str(value)) if isinstance(value, str | Path) else value

    return {name: plain(value) for name, value in flat(config).items()}


def write_config(config: Any, folder: Path, command: str) -> None:
    """Put ``config.yaml`` into a run's folder."""
    with atomic_write(folder / "config.yaml") as file:
        file.write(dump_config(config, folder, command))


def _property(each: Setting) -> dict[str, Any]:
    kind, maybe = optional(each.type)
    schema: dict[str, Any] = {}
    inner = _inner(each)
    if get_origin(kind) is Literal:
        return {"enum": [*get_args(kind), *([None] if maybe else [])]}
    names = [_TYPES.get(kind, "object")]
    if get_origin(kind) is tuple:
        literal = get_origin(inner) is Literal
        schema["items"] = {"enum": list(get_args(inner))} if literal else {"type": _TYPES[inner]}
        alone = [] if get_args(kind)[-1] is not Ellipsis else ["string" if literal else _TYPES[inner]]
        names = ["array", *alone]  # one value needs no list around it
    schema["type"] = [*names, *(["null"] if maybe else [])]
    about = each.about
    for word, bound in (
        ("minimum", about.least),
        ("maximum", about.most),
        ("exclusiveMinimum", about.above),
        ("exclusiveMaximum", about.below),
    ):
        if bound is not None:
            schema[word] = bound
    return schema


def _beside(value: Any, each: Setting, folder: Path) -> Any:
    """A path of the file, seen from here."""
    if isinstance(value, list):
        return [_beside(item, each, folder) for item in value]
    if isinstance(value, str) and each.about.shipped and constitution_path(value, folder) != folder / value:
        return value
    if isinstance(value, str) and _inner(each) is Path:
        return os.path.normpath(folder / value)
    if isinstance(value, str) and each.about.path:
        return _moved(value, lambda path: folder / path, os.path.normpath)
    return value


def _plain(value: Any, each: Setting, folder: Path) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(item, each, folder) for item in value]
    if isinstance(value, Path) and each.about.shipped and constitution_path(value) != value:
        return str(value)
    if isinstance(value, Path):
        return os.path.relpath(value, folder)
    if not isinstance(value, str):
        return value
    return _moved(without_secrets(value), Path, lambda path: os.path.relpath(path, folder)) if each.about.path else value


def _inner(each: Setting) -> Any:
    kind, _ = optional(each.type)
    return get_args(kind)[0] if get_origin(kind) is tuple else kind


def _moved(value: str, here: Callable[[str], Path], write: Callable[[Path], str]) -> str:
    """The paths in ``value`` written anew: a part between commas, behind ``script:``, before ``:function``. What does not exist
    is another name (a hub's, a URL)."""
    parts = []
    for part in value.split(","):
        before, path, after = _PATH.fullmatch(part).groups(default="")  # type: ignore[union-attr]  # it matches anything
        parts.append(f"{before}{write(here(path))}{after}" if path and here(path).exists() else part)
    return ",".join(parts)
