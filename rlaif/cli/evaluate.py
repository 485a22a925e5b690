"""``rlaif evaluate``: how far a critic's labels agree with known preferences, and who wins by them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlaif.cli.echo import echo

app = typer.Typer(help="Agreement with known preferences, and rankings.", no_args_is_help=True)


@app.command()
def agreement(
    source: Annotated[
        Path, typer.Argument(help="A label run's folder, or a file of known preferences (pairs, or a benchmark's own).")
    ],
    by: Annotated[str | None, typer.Option(help="A row for each value of this source column.")] = None,
    constitution: Annotated[Path | None, typer.Option(help="For a file: the principles to judge by.")] = None,
    critic: Annotated[list[str] | None, typer.Option(help="For a file: as for rlaif label; repeat for a jury.")] = None,
    out: Annotated[Path | None, typer.Option(help="For a file: the label run's folder.")] = None,
    store: Annotated[Path, typer.Option(help="For a file: the verdict store.")] = Path("runs/verdicts.sqlite"),
    limit: Annotated[int | None, typer.Option(min=1, help="For a file: only the first so many rows.")] = None,
    reasons: Annotated[bool, typer.Option("--reasons", help="For a file: have the critic reason first.")] = False,
) -> None:
    """Print agreement with known preferences: in both orders as JudgeBench counts it, and by the mean, with intervals.

    JudgeBench's own file gets its four sections; those of the Constitutional AI paper (HHH, harmful or ethical) are read
    too. To judge with other settings, run rlaif label first and give its folder.
    """
    from rlaif.data.run_folder import read_run
    from rlaif.errors import UsageError
    from rlaif.evaluate.benchmark import cells, sections
    from rlaif.evaluate.benchmark_rows import benchmark_rows, write_rows

    folder = source
    only = {"--constitution": constitution, "--critic": critic, "--out": out, "--limit": limit, "--reasons": reasons}
    if source.is_file():
        from rlaif.label.run import LabelConfig, run_label

        if constitution is None or not critic or out is None:
            raise UsageError(f"{source}: to judge a file, --constitution, --critic and --out are needed")
        benchmark = benchmark_rows(source)
        path = source
        if benchmark is not None:
            path = out.with_name(f"{out.name}-rows.jsonl")
            write_rows(benchmark.rows, path)
            by = by or benchmark.by
        run_label(
            LabelConfig(
                source=str(path),
                constitution=constitution,
                critic=critic[0],
                jury=tuple(critic[1:]),
                out=out,
                store=store,
                limit=limit,
                reasons=reasons,
                max_failure_rate=1.0,  # what has no verdict is told below
            )
        )
        folder = out
    elif given := [flag for flag, value in only.items() if value]:
        raise UsageError(f"{given[0]} is for judging a file; {source} is none")
    _print(cells(sections(folder, by)))
    counts = read_run(folder).get("counts", {})
    if missing := counts.get("rows_failed", 0) + counts.get("unjudged", 0):
        echo(f"{missing:,} rows or pairs have no verdict and are left out; see {folder}/failures.jsonl")


@app.command()
def ranking(
    run: Annotated[Path, typer.Argument(help="A label run's folder.")],
    by: Annotated[str, typer.Option(help="What is ranked: a column that each response came with.")] = "model",
    bootstrap: Annotated[int, typer.Option(min=0, help="Intervals from so many resamplings (0: from the sandwich).")] = 0,
    seed: Annotated[int, typer.Option(help="Of resampling, and of the order of games for Elo.")] = 0,
) -> None:
    """Rank what wrote the responses: Bradley–Terry with 95% intervals, and Elo."""
    from rlaif.data.records import PreferenceRecord, read_records
    from rlaif.data.run_folder import read_run
    from rlaif.errors import UsageError
    from rlaif.evaluate.ranking import comparisons, ratings, table

    read_run(run)
    data = comparisons(read_records(run / "preferences.jsonl", PreferenceRecord), by)
    if not data.names:
        raise UsageError(f"{run}: no pair has columns chosen_{by} and rejected_{by} that differ")
    _print(table(ratings(data, bootstrap, seed)))


def _print(cells: list[list[str]]) -> None:
    from rich import box
    from rich.table import Table

    from rlaif.cli.console import Console

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in zip(*cells, strict=True):
        shown.add_column(column[0], no_wrap=True, min_width=max(map(len, column)))
    for line in cells[1:]:
        shown.add_row(*line)
    Console().print(shown)
