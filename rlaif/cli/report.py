"""``rlaif report``: one HTML page of what a run did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlaif.cli.echo import echo, suggest


def report(
    run: Annotated[Path, typer.Argument(help="The run's folder, such as runs/NAME.")],
    out: Annotated[Path | None, typer.Option(help="Where to write it; by default report.html in the run's folder.")] = None,
    max_pairs: Annotated[int, typer.Option(min=0, help="Show at most this many pairs; of more, a random sample.")] = 2000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file at --out that is no report.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write a run's quality, failures and judged pairs as one HTML file that needs no network."""
    from rlaif.report.page import write_report

    path = write_report(run, out, max_pairs, overwrite)
    echo(path)
    suggest(f"rlaif train dpo {run} --model MODEL --out {run}-dpo")
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
