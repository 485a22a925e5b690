"""``rlaif evaluate``: how far a critic's labels agree with known preferences, and who wins by them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rlaif.cli.echo import echo, suggest
from rlaif.cli.flags import Command, from_config
from rlaif.critic.config import CriticConfig
from rlaif.data.records import beside_overall
from rlaif.errors import UsageError
from rlaif.label.config import WinRateConfig
from rlaif.sample.config import COLUMNS
from rlaif.settings import flag, flat, nested, setting, settings_of

if TYPE_CHECKING:
    from rlaif.evaluate.win_rate import WinRate

INPUT = "Input"

app = typer.Typer(help="Agreement with known preferences, win rates, and rankings.", no_args_is_help=True)


@dataclass(frozen=True, kw_only=True)
class AgreementConfig:
    """What ``rlaif evaluate agreement`` is asked to do. All but ``source``, ``by`` and ``gold`` are for judging a file."""

    source: Path = setting(
        help="A label run's folder, or a file of known preferences (pairs, or a benchmark's).",
        metavar="SOURCE",
        argument=True,
    )
    by: str | None = setting(None, "A row for each value of this source column.", panel=INPUT)
    gold: str | None = setting(
        None, "Labels from these rows, such as rlaif annotate's, in place of the source's own.", panel=INPUT, path=True
    )
    out: Path | None = setting(None, "For a file: the label run's folder.", panel=INPUT)
    columns: str | None = setting(None, f"For a file: {COLUMNS[0].lower()}{COLUMNS[1:]}", panel=INPUT)
    limit: int | None = setting(None, "For a file: only the first so many rows.", panel=INPUT, least=1)
    critic: CriticConfig = nested(CriticConfig)


def _agreement(config: AgreementConfig) -> None:
    from rlaif.data.run_folder import read_run
    from rlaif.evaluate.benchmark import cells, over_all_pairs, sections
    from rlaif.evaluate.gold import not_random
    from rlaif.evaluate.table import NONE, interval

    folder, by = _judged(config) if config.source.is_file() else (config.source, config.by)
    own = settings_of(AgreementConfig)
    for name, value in flat(config).items():
        if folder == config.source and name not in ("source", "by", "gold") and value != own[name].default:
            raise UsageError(f"{flag(name)} is for judging a file; {config.source} is a run's folder")
    _print(cells(sections(folder, by, config.gold)))
    if config.gold and (others := not_random(config.gold)):
        echo(f"{others:,} pairs were not chosen at random (rlaif annotate --choose): this is their agreement, not that of all")
    elif (estimated := interval(over_all_pairs(folder, config.gold))) != NONE:
        echo(f"estimated over all pairs of the run: {estimated}")
    counts = read_run(folder).get("counts", {})
    if missing := counts.get("rows_failed", 0) + counts.get("unjudged", 0):
        echo(f"{missing:,} rows or pairs have no verdict and are left out; see {folder}/failures.jsonl")
    suggest(f"rlaif report {folder}")


def _judged(config: AgreementConfig) -> tuple[Path, str | None]:
    """Label the file; returns the run's folder, and the column to split the table by."""
    from rlaif.evaluate.benchmark_rows import benchmark_rows, write_rows
    from rlaif.label.config import LabelConfig
    from rlaif.label.run import run_label

    if config.critic.constitution is None or not config.critic.models or config.out is None:
        raise UsageError(f"{config.source}: to judge a file, --constitution, --critic and --out are needed")
    source, by = config.source, config.by
    benchmark = None if config.columns else benchmark_rows(source)  # who names the columns says what they are
    if benchmark is not None:
        source = config.out.with_name(f"{config.out.name}-rows.jsonl")
        write_rows(benchmark.rows, source)
        by = by or benchmark.by
    critic = replace(config.critic, max_failure_rate=1.0)  # what has no verdict is told in the table
    run_label(LabelConfig(source=str(source), critic=critic, out=config.out, columns=config.columns, limit=config.limit))
    return config.out, by


app.command(
    "agreement",
    help="Print agreement with known preferences: in both orders as JudgeBench counts it, and by the mean, with intervals. "
    "JudgeBench's own file gets its four sections; the Constitutional AI paper's (HHH, harmful or ethical) are read too.",
    cls=Command,
)(from_config(AgreementConfig, _agreement, "evaluate agreement"))


def _win_rate(config: WinRateConfig) -> None:
    import json

    from rlaif.cli.console import Console
    from rlaif.cli.progress import ProgressBar
    from rlaif.data.inputs import refuse_inputs
    from rlaif.data.write import atomic_write
    from rlaif.errors import RunFailed
    from rlaif.evaluate.table import interval
    from rlaif.label.win_rate import compare_models
    from rlaif.progress import Progress

    if config.json:
        refuse_inputs((config.model_a, config.model_b, config.source), files=[config.json])
    with ProgressBar(Console(stderr=True), "opening the models", ("failed", "from the store", "verdicts")) as bar:
        rates = compare_models(config, Progress(bar.stage, bar.update, bar.warn))
    header = ["", "A wins", "at equal length", "won", "tied", "lost"]
    counted = [[str(count) for count in (rate.wins, rate.ties, rate.losses)] for rate in rates]
    names = [rates[0].name, *(beside_overall(rate.name) for rate in rates[1:])]
    names = [rates[0].name, *(beside_overall(rate.name) for rate in rates[1:])]
    shares = [[interval(rate.share), interval(rate.controlled)] for rate in rates]
    _print([header, *([name, *share, *counts] for name, share, counts in zip(names, shares, counted, strict=True))])
    if config.json:
        with atomic_write(config.json) as file:
            file.write(json.dumps([_as_json(rate) for rate in rates], indent=2) + "\n")
    suggest(f"rlaif report {config.out}")
    if config.above is not None and not rates[0].share.low > config.above:
        raise RunFailed(f"--above {config.above:g}: A's win rate is {interval(rates[0].share)}")


def _as_json(rate: WinRate) -> dict[str, object]:
    return {**rate._asdict(), "share": rate.share._asdict(), "controlled": rate.controlled._asdict()}


app.command(
    "win-rate",
    help="How often A's responses are preferred to B's, in both orders, with intervals, by principle, and at equal length.",
    cls=Command,
)(from_config(WinRateConfig, _win_rate, "evaluate win-rate"))


@app.command(cls=Command)
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
    _print(table(ratings(data, bootstrap, seed)))
    suggest(f"rlaif report {run}")


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
