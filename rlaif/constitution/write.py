"""A constitution's plain data as a YAML file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import FoldedScalarString

from rlaif.constitution.load import load_constitution
from rlaif.errors import UsageError


def write(path: Path, constitution: Mapping[str, Any], comment: str, overwrite: bool = False) -> None:
    """Write ``constitution`` under a comment, and check it; nothing is left behind where it fails the check.

    Raises UsageError for a file that exists (unless ``overwrite``), that cannot be written, or that would not load.
    """
    if path.exists() and not overwrite:
        raise UsageError(f"{path}: exists; --force overwrites it")
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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            yaml.dump(document, file)
            file.flush()
            os.fsync(file.fileno())
        load_constitution(temporary)
        temporary.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


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
