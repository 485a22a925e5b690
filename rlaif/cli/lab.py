"""``rlaif lab``: the offline world's models and data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(help="The offline lab: a small world with known gold scores.", no_args_is_help=True)


class Model(StrEnum):
    """A model that ``rlaif lab build`` makes."""

    POLICY = "policy"
    CRITIC = "critic"
    FALLIBLE = "fallible"


class SplitName(StrEnum):
    """Which prompts: those that the models were trained on, or the others."""

    TRAIN = "train"
    HELDOUT = "heldout"


class Source(StrEnum):
    """Who writes the responses."""

    GRAMMAR = "grammar"
    POLICY = "policy"


@app.command()
def build(
    out: Annotated[Path | None, typer.Option(help="Folder for the models; by default the package's own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of data, weights and order.")] = 0,
    only: Annotated[Model | None, typer.Option(help="Train this model alone.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train the lab's policy, critic and fallible critic from scratch, in about 20 minutes on two CPU cores."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from rlaif.lab import MODELS
    from rlaif.lab.build import NAMES, build_models

    columns = (
        TextColumn("{task.description:9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    folder = out or MODELS
    with Progress(*columns) as progress:
        build_models(folder, NAMES if only is None else (only.value,), seed, threads, _Bars(progress))
    print(f"models and build.json are in {folder}")


class _Bars:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task: Any = None

    def start(self, name: str, total: int) -> None:
        self._task = self._progress.add_task(name, total=total, loss=0.0)

    def advance(self, samples: int, loss: float) -> None:
        self._progress.update(self._task, advance=samples, loss=loss)


@app.command()
def rows(
    out: Annotated[Path, typer.Option(help="JSON Lines file to write.")],
    n: Annotated[int, typer.Option(min=1, help="Number of rows.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of prompts and responses.")] = 0,
    split: Annotated[SplitName, typer.Option(help="Which prompts.")] = SplitName.HELDOUT,
    responses: Annotated[int, typer.Option(min=1, help="Responses per prompt.")] = 2,
    source: Annotated[Source, typer.Option("--from", help="Who writes the responses.")] = Source.GRAMMAR,
    prompts_only: Annotated[bool, typer.Option("--prompts-only", help="Leave the responses out.")] = False,
) -> None:
    """Write rows that `rlaif label` reads: prompt, tags, responses and their gold scores."""
    import json

    from rlaif.lab import world

    found = world.rows(n, seed, split.value, 0 if prompts_only else responses)
    if prompts_only:
        found = ({key: row[key] for key in ("id", "prompt", "tags")} for row in found)
    elif source is Source.POLICY:
        import asyncio

        from rlaif.engines import open_engine
        from rlaif.lab.policy import sampled_rows

        engine = open_engine("lab:policy", backend="transformers")
        found = iter(asyncio.run(sampled_rows(engine, n, seed, split.value, responses)))
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(out.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
    part.replace(out)
    print(f"{n} rows are in {out}")
