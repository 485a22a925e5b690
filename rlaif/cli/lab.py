"""``rlaif lab``: the offline world's models and data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rlaif.cli.compare import lab_compare
from rlaif.cli.echo import echo, suggest
from rlaif.cli.flags import Command

app = typer.Typer(help="The offline lab: a small world with known gold scores.", no_args_is_help=True)
app.command("compare", cls=Command)(lab_compare)


class Model(StrEnum):
    """A model that ``rlaif lab build`` makes."""

    POLICY = "policy"
    CRITIC = "critic"
    FALLIBLE = "fallible"
    REVISER = "reviser"


class SplitName(StrEnum):
    """Which prompts: those that the models were trained on, or the others."""

    TRAIN = "train"
    HELDOUT = "heldout"


class Source(StrEnum):
    """Who writes the responses."""

    GRAMMAR = "grammar"
    POLICY = "policy"


@app.command(cls=Command)
def build(
    out: Annotated[Path | None, typer.Option(help="Folder for the models; by default the package's own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of data, weights and order.")] = 0,
    only: Annotated[Model | None, typer.Option(help="Train this model alone.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 2,
) -> None:
    """Train the lab's policy, critics and reviser from scratch, in about half an hour on two CPU cores."""
    from rlaif.cli.console import Console
    from rlaif.cli.progress import ProgressBar
    from rlaif.lab import MODELS
    from rlaif.lab.build import NAMES, build_models
    from rlaif.progress import Progress

    folder = out or MODELS
    with ProgressBar(Console(stderr=True), "making the tokenizer", ("loss",)) as bar:
        names = NAMES if only is None else (only.value,)
        build_models(folder, names, seed, threads, Progress(bar.stage, bar.update))
    echo(f"models and build.json are in {folder}")
    suggest("python benchmarks/lab.py")


@app.command(cls=Command)
def rows(
    out: Annotated[Path, typer.Option(help="JSON Lines file to write.")],
    n: Annotated[int, typer.Option(min=1, help="Number of rows.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of prompts and responses.")] = 0,
    split: Annotated[SplitName, typer.Option(help="Which prompts.")] = SplitName.HELDOUT,
    samples: Annotated[int, typer.Option(min=1, help="Responses per prompt.")] = 2,
    source: Annotated[Source, typer.Option("--from", help="Who writes the responses.")] = Source.GRAMMAR,
    prompts_only: Annotated[bool, typer.Option("--prompts-only", help="Leave the responses out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file at --out that holds no lab rows.")] = False,
) -> None:
    """Write rows that `rlaif label` reads: prompt, tags, responses and their gold scores."""
    from rlaif.data.inputs import refuse_others_file
    from rlaif.data.write import JsonlWriter
    from rlaif.lab import world

    if not overwrite:
        refuse_others_file(out, b'{"id": "lab-', "file of lab rows")
    records = world.rows(n, seed, split.value, 0 if prompts_only else samples)
    if prompts_only:
        records = ({key: row[key] for key in ("id", "prompt", "tags")} for row in records)
    elif source is Source.POLICY:
        import asyncio

        from rlaif.engines import EngineConfig
        from rlaif.lab.policy import sampled_rows

        engine = EngineConfig("lab:policy", engine="transformers").open()
        records = iter(asyncio.run(sampled_rows(engine, n, seed, split.value, samples)))
    out.parent.mkdir(parents=True, exist_ok=True)
    with JsonlWriter(out) as writer:
        for row in records:
            writer.write(row)
    echo(f"{n} rows are in {out}")
    judged = "--critic lab --constitution constitutions/lab.yaml"
    if prompts_only:
        suggest(f"rlaif train rloo {out} --model lab:policy {judged} --out runs/NAME")
    else:
        suggest(f"rlaif label {out} {judged} --out runs/NAME")


@app.command(cls=Command)
def gold(
    models: Annotated[list[str], typer.Argument(help="Models to compare: lab:policy, runs/NAME, paths.", metavar="MODEL...")],
    constitution: Annotated[str, typer.Option(help="Whose weights the total is by: a file or a shipped one's name.")] = "lab",
    n: Annotated[int, typer.Option(min=1, help="Prompts to answer, the same for each model.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of prompts and replies.")] = 1000,
    split: Annotated[SplitName, typer.Option(help="Which prompts.")] = SplitName.HELDOUT,
) -> None:
    """Print the mean gold scores of models' replies to the lab's prompts, by principle and in all."""
    import asyncio

    from rich.table import Table

    from rlaif.cli.console import Console
    from rlaif.constitution.load import load_constitution
    from rlaif.engines import EngineConfig
    from rlaif.errors import UsageError
    from rlaif.lab.gold import PRINCIPLES
    from rlaif.lab.policy import mean_gold, sampled_rows

    weights = {item.id: item.weight for item in load_constitution(constitution).principles if item.id in PRINCIPLES}
    if not any(weights.values()):
        raise UsageError(f"{constitution}: none of the lab's principles ({', '.join(PRINCIPLES)}) has a weight in it")
    engines = [EngineConfig(model, engine="transformers").open() for model in models]
    means = [mean_gold(asyncio.run(sampled_rows(engine, n, seed, split.value, 1))) for engine in engines]
    table = Table("gold", *models)
    for name in weights:
        table.add_row(name, *(f"{mean[name]:.3f}" for mean in means))
    totals = (sum(weight * mean[name] for name, weight in weights.items()) / sum(weights.values()) for mean in means)
    table.add_section()
    table.add_row("total, by weight", *(f"{total:.3f}" for total in totals))
    Console(soft_wrap=True).print(table)
    suggest("rlaif train --help")
