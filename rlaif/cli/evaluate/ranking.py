"""``rlaif evaluate ranking``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rlaif.cli.echo import suggest
from rlaif.cli.evaluate.printed import print_cells
from rlaif.errors import UsageError


def ranking(
    run: Annotated[Path, typer.Argument(help="A label run's folder.")],
    by: Annotated[str, typer.Option(help="What is ranked: a column that each response came with.")] = "model",
    bootstrap: Annotated[int, typer.Option(min=0, help="Intervals from so many resamplings (0: from the sandwich).")] = 0,
    seed: Annotated[int, typer.Option(help="Of resampling, and of the order of games for Elo.")] = 0,
) -> None:
    """Rank what wrote the responses: Bradley–Terry with 95% intervals, and Elo."""
    from rlaif.data.records import PreferenceRecord, read_records
    from rlaif.data.run_folder import read_run
    from rlaif.evaluate.ranking import comparisons, ratings, table

    read_run(run)
    data = comparisons(read_records(run / "preferences.jsonl", PreferenceRecord), by)
    if not data.names:
        raise UsageError(f"{run}: no pair has columns chosen_{by} and rejected_{by} that differ")
    print_cells(table(ratings(data, bootstrap, seed)))
    suggest(f"rlaif report {run}")
