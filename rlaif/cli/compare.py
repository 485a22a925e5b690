"""``rlaif compare`` and ``rlaif lab compare``: methods beside each other from the same start and budget."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rlaif.cli.echo import echo, suggest
from rlaif.cli.flags import DRY_RUN, from_config
from rlaif.compare.config import CompareConfig, LabCompareConfig

if TYPE_CHECKING:
    from rich.table import Table

    from rlaif.compare.table import Cells, Results
    from rlaif.cost import Cost


def _compare(config: CompareConfig, dry_run: bool) -> None:
    from rlaif.cli.console import Console, print_paths

    if dry_run:
        from rlaif.compare.run import comparison_cost

        _print_costs(comparison_cost(config), config.seeds)
        return
    with LiveTable(Console(stderr=True)) as live:
        from transformers.utils.logging import set_verbosity_error

        from rlaif.compare.run import run_compare
        from rlaif.compare.table import brief_table, cost_table, findings
        from rlaif.progress import Progress

        set_verbosity_error()  # its notes on loading and saving would tear the table
        results = run_compare(config, Progress(live.stage, live.update), live.show)
    console = Console(highlight=False)
    for cells in (brief_table(results), cost_table(results)):
        console.print(as_table(cells))
    for sentence in findings(results):
        console.print(sentence, markup=False)
    print_paths(("page", config.out / "README.md"), ("results", config.out / "results.jsonl"))
    suggest(f"rlaif sample PROMPTS --model {config.out}/seed-{config.critic.seed}/{results.methods[-1]} --out samples.jsonl")


compare = from_config(CompareConfig, _compare, "compare", [DRY_RUN])
compare.__doc__ = """Train by several methods from one start and budget; lay the results side by side, over several seeds.

The same command continues a comparison that was stopped.
"""
lab_compare = from_config(LabCompareConfig, _compare, "lab compare", [DRY_RUN])
lab_compare.__doc__ = """Train the lab's policy by several methods; lay gold and cost side by side, over several seeds.

The same command continues a comparison that was stopped.
"""


def _print_costs(costs: Mapping[str, Cost], seeds: int) -> None:
    """A line for each step that draws or asks, and all together."""
    for name, cost in costs.items():
        if told := _told(cost.texts, cost.calls):
            echo(f"{name}: {told}")
    texts, calls = (seeds * sum(getattr(cost, what) for cost in costs.values()) for what in ("texts", "calls"))
    echo(f"{seeds} seeds, {len(costs)} steps each: {_told(texts, calls)}")
    suggest("the same command without --dry-run")


def _told(texts: int, calls: int) -> str:
    parts = [f"{texts:,} texts to draw"] if texts else []
    return ", ".join([*parts, *([f"at most {calls:,} calls of the critic"] if calls else [])])


def as_table(cells: Cells) -> Table:
    """For the terminal."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for number, name in enumerate(cells[0]):
        table.add_column(name, justify="right" if number else "left", no_wrap=number == 0)
    for line in cells[1:]:
        table.add_row(*line)
    return table


class LiveTable:
    """A context manager: the table so far, and under it what is being done."""

    def __init__(self, console: object) -> None:
        from rich.live import Live
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(10), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns)
        self._task = self._bar.add_task("opening the models", total=None)
        self._live = Live(self._bar, console=console, refresh_per_second=4)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def stage(self, name: str, total: int | None, done: int) -> None:
        self._bar.reset(self._task, description=name, total=total, completed=done)

    def update(self, done: int, figures: Mapping[str, float]) -> None:
        self._bar.update(self._task, completed=done)

    def show(self, results: Results) -> None:
        from rich.console import Group

        from rlaif.compare.table import brief_table

        self._live.update(Group(as_table(brief_table(results)), self._bar))
