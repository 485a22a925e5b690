"""``rlaif report`` and ``rlaif watch``: one HTML page of what a run did, or does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlaif.cli.echo import echo, suggest


def report(
    runs: Annotated[
        list[Path], typer.Argument(help="A run's folder, such as runs/NAME; of several, they are laid side by side.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write it; by default report.html in the run's folder, of several runs in this one."),
    ] = None,
    max_pairs: Annotated[int, typer.Option(min=0, help="Hold at most this many pairs; of more, a random sample.")] = 100_000,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file at --out that is no report.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write what runs did as one HTML file that needs no network: labels with every pair, training with its curves."""
    from rlaif.report.page import write_report

    path = write_report(runs, out, max_pairs, overwrite)
    echo(path)
    if len(runs) == 1 and (runs[0] / "preferences.jsonl").is_file():
        suggest(f"rlaif train dpo {runs[0]} --model MODEL --out {runs[0]}-dpo")
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


def watch(
    run: Annotated[Path, typer.Argument(help="The folder of a run that goes on.")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of this machine alone; 0 is any free one.")] = 0,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Show a run's report in the browser while the run goes on. It can be seen from this machine alone; Ctrl-C ends it."""
    from rlaif.report.watch import serve

    def started(url: str) -> None:
        echo(f"watching {run} on {url} (Ctrl-C ends it)")
        if show:
            import webbrowser

            webbrowser.open(url)

    serve(run, port, started)
