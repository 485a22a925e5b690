"""``rlaif init``: what ships, copied to where it can be edited."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlaif.cli.echo import echo


def init(
    folder: Annotated[Path, typer.Argument(help="Where to; by default here.")] = Path(),
) -> None:
    """Copy the shipped constitutions and prompt templates to edit, and write a config.yaml that labels with them.

    Nothing that is there already is replaced.
    """
    from rlaif.shipped import copy_shipped

    for path in copy_shipped(folder):
        echo(f"wrote {path}")
    config = folder / "config.yaml"
    echo(f"next: rlaif lab rows --out {folder / 'rows.jsonl'} && rlaif label {folder / 'rows.jsonl'} --config {config}")
