"""A file of known preferences judged by a critic, and how far it agrees with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rlaif.critic.modes import MODES
from rlaif.data import hub
from rlaif.data.read import named_columns, read_rows
from rlaif.data.rows import BadRow, Row
from rlaif.data.run_folder import read_run
from rlaif.data.shapes import to_row
from rlaif.errors import UsageError
from rlaif.evaluate import benchmark
from rlaif.evaluate.benchmark_rows import Benchmark, benchmark_rows, split_of, write_rows
from rlaif.evaluate.config import AgreementConfig
from rlaif.evaluate.gold import not_random
from rlaif.evaluate.outcome import Found, named
from rlaif.evaluate.requirements import CORRELATION, SHARE, Range
from rlaif.evaluate.table import NONE, interval
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.progress import Progress
from rlaif.settings import flag, flat, settings_of

MEASURES: dict[str, Range] = {
    **dict.fromkeys(("agreement", "both", "contradictions", "best-of", "ties-counted"), SHARE),
    "kappa": CORRELATION,
}
"""What can be required: ``best-of`` of RewardBench 2, the others of pairs."""
_FOR_RUNS = ("source", "by", "gold", "json", "require")


def agree(config: AgreementConfig, progress: Progress | None = None) -> tuple[Found, Path]:
    """Judge the file, unless the source is a run's folder, and hold it against its labels; returns the run's folder too.

    Raises UsageError for settings that do not go with the source, and where it has no known preferences.
    """
    folder, by = (Path(config.source), config.by) if is_run(config) else _judged(config, progress or Progress())
    if lines := None if config.gold else benchmark.best_of(folder):
        return Found(lines, benchmark.best_of_cells(lines), named(lines, "all", best_of="score")), folder
    sections = benchmark.sections(folder, by, config.gold)
    figures = named(
        sections, "all", agreement="mean", both="both", contradictions="contradictions", kappa="kappa", ties_counted="with_ties"
    )
    return Found(sections, benchmark.cells(sections), figures, _of_all(folder, config.gold)), folder


def _of_all(folder: Path, gold: str | None) -> list[str]:
    """What labels of some of a run's pairs say of all of them."""
    if gold and (others := not_random(gold)):
        return [
            f"{others:,} pairs were not chosen at random (rlaif annotate --choose): this is their agreement, not that of all"
        ]
    estimated = interval(benchmark.over_all_pairs(folder, gold))
    return [] if estimated == NONE else [f"estimated over all pairs of the run: {estimated}"]


def is_run(config: AgreementConfig) -> bool:
    """Whether the source has been judged. Raises UsageError for settings that do not go with it."""
    here = Path(config.source)
    if here.is_file() or (config.critic.models and config.out and not here.is_dir() and hub.named(config.source)):
        if config.critic.constitution is None or not config.critic.models or config.out is None:
            raise UsageError(f"{config.source}: to judge a file, --constitution, --critic and --out are needed")
        return False
    own = settings_of(AgreementConfig)
    for name, value in flat(config).items():
        if name not in _FOR_RUNS and value != own[name].default:
            raise UsageError(f"{flag(name)} is for judging a file; {config.source} is a run's folder")
    read_run(here)
    return True


def planned(config: AgreementConfig) -> Iterator[Row | BadRow]:
    """The rows that the critic would be asked about."""
    found = _benchmark(config)
    if found is None:
        return read_rows(config.source, config.limit, named_columns(config.columns))
    rows = (to_row(number, row) for number, row in enumerate(found.rows, 1))
    return (row for number, row in enumerate(rows) if config.limit is None or number < config.limit)


def _benchmark(config: AgreementConfig) -> Benchmark | None:
    """None where the user names the columns: then that is what they are."""
    return None if config.columns else benchmark_rows(config.source, not MODES[config.critic.mode].scores)


def _judged(config: AgreementConfig, progress: Progress) -> tuple[Path, str | None]:
    """Label the file; returns the run's folder, and the column to split the table by."""
    assert config.out is not None
    source, by, found = config.source, config.by, _benchmark(config)
    if found is not None:
        rows = config.out.with_name(f"{config.out.name}-rows.jsonl")
        write_rows(found.rows, rows)
        source = str(rows)
        by = by or found.by
    else:
        by = by or split_of(source, config.columns)
    critic = replace(config.critic, max_failure_rate=1.0)  # what has no verdict is told in the table
    run_label(LabelConfig(source=source, critic=critic, out=config.out, columns=config.columns, limit=config.limit), progress)
    return config.out, by
