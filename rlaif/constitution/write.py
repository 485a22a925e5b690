"""A constitution's plain data as a YAML file."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import FoldedScalarString

from rlaif.constitution.load import load_constitution
from rlaif.data.write import create
from rlaif.errors import UsageError


def write(path: Path, constitution: Mapping[str, Any], comment: str, overwrite: bool = False) -> None:
    """Write ``constitution`` under a comment, and check it; nothing is left behind where it fails the check.

    Raises UsageError for a file that exists (unless ``overwrite``), that cannot be written, or that would not load.
    """
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: exists; --overwrite replaces it")
    yaml = YAML()
    yaml.width = 10**9  # long texts are folded below; what the writer folds itself ends in spaces
    yaml.indent(mapping=2, sequence=4, offset=2)
    document = CommentedMap(constitution)
    document.yaml_set_start_comment(comment)
    document["principles"] = CommentedSeq(
        CommentedMap((key, _folded(value)) for key, value in principle.items()) for principle in constitution["principles"]
    )
    for number in range(1, len(document["principles"])):
        document["principles"].yaml_set_comment_before_after_key(number, before="\n")
    text = io.StringIO()
    yaml.dump(document, text)
    _replace(path, text.getvalue())


def write_weights(path: Path, weights: Mapping[str, float]) -> None:
    """Set principles' weights in a constitution's file, by id; every other character of it stays, comments too.

    A principle that the file only inherits gets an entry of its own that holds nothing but the weight. Raises UsageError
    where the file cannot be written, or where the weights cannot be put into it (all on one line, say).
    """
    with path.open(encoding="utf-8", newline="") as file:
        text = file.read()
    ends = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    document = YAML().load(text)
    lines = text.splitlines(keepends=True)
    listed = document.get("principles") or []
    own = {principle["id"]: principle for principle in listed}
    # From the end backwards, so that positions ahead of an edit stay true.
    lines = _with_entries(lines, document, {name: weight for name, weight in weights.items() if name not in own})
    for name, principle in sorted(own.items(), key=lambda item: item[1].lc.key("id"), reverse=True):
        if name not in weights:
            continue
        spelled = f"{weights[name]:g}"
        if "weight" in principle:
            line, column = principle.lc.value("weight")
            lines[line] = lines[line][:column] + re.sub(r"^[^\s,}\]#]+", spelled, lines[line][column:])
        elif principle.fa.flow_style():
            line, column = principle.lc.value("id")
            lines[line] = lines[line][:column] + re.sub(r"^[^\s,}\]#]+", rf"\g<0>, weight: {spelled}", lines[line][column:])
        else:
            line, column = principle.lc.key("id")
            lines.insert(line + 1, f"{' ' * column}weight: {spelled}\n")
    _replace(path, "".join(lines).replace("\n", ends), {name: float(f"{weight:g}") for name, weight in weights.items()})


def _with_entries(lines: list[str], document: CommentedMap, weights: Mapping[str, float]) -> list[str]:
    """The lines with entries for inherited principles added to the list, before whatever follows it."""
    if not weights:
        return lines
    if lines and not lines[-1].endswith("\n"):
        lines = [*lines[:-1], lines[-1] + "\n"]
    listed: Any = document.get("principles")
    dash = listed.lc.item(0)[1] - 2 if listed else 2
    added = [f"{' ' * dash}- id: {name}\n{' ' * dash}  weight: {weight:g}\n" for name, weight in weights.items()]
    if not listed:
        return [*lines, "principles:\n", *added]
    start = document.lc.key("principles")[0]
    after = min((document.lc.key(key)[0] for key in document if document.lc.key(key)[0] > start), default=len(lines))
    return [*lines[:after], *added, *lines[after:]]


def _replace(path: Path, text: str, weights: Mapping[str, float] | None = None) -> None:
    """Put the text in place of the file, whole and checked, or not at all. weights: what it must then say, by id."""
    path = path.resolve()  # a link stays one
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with create(temporary) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if weights is None:
            load_constitution(temporary)
        elif not _says(temporary, weights):
            raise UsageError(f"{path}: the weights cannot be put into this file as it is written; set them by hand")
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _says(path: Path, weights: Mapping[str, float]) -> bool:
    try:
        written = {principle.id: principle.weight for principle in load_constitution(path).principles}
    except UsageError:
        return False
    return all(written.get(name) == weight for name, weight in weights.items())


def _folded(value: Any) -> Any:
    """A long line of prose as YAML's ``>-``, broken between words; anything else as it is."""
    if not isinstance(value, str) or len(value) <= 100 or not value.isprintable() or not re.fullmatch(r"\S+( \S+)*", value):
        return value
    text = FoldedScalarString(value)
    text.fold_pos, start = [], 0
    for space in re.finditer(" ", value):
        end = value.find(" ", space.end())
        if (len(value) if end < 0 else end) - start > 110:
            text.fold_pos.append(space.start())
            start = space.end()
    return text
