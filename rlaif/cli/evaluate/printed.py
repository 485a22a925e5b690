"""What every command of ``rlaif evaluate`` prints, writes and requires when it has its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rlaif.cli.echo import suggest

if TYPE_CHECKING:
    from rlaif.evaluate.config import Outcome
    from rlaif.evaluate.outcome import Found
    from rlaif.evaluate.requirements import Range


def print_found(found: Found, outcome: Outcome, measures: Mapping[str, Range], folder: Path | None, following: str) -> None:
    """The table on the terminal, the figures in the run's folder and where the user wants them, and the next command.

    Raises RunFailed where the figures are not what is required.
    """
    from rlaif.evaluate.outcome import hold, write

    print_cells(found.cells)
    write(found, outcome, folder)
    suggest(following)
    hold(found, outcome, measures)


def print_cells(cells: list[list[str]]) -> None:
    """A table of texts, its first row the header."""
    from rich import box
    from rich.table import Table

    from rlaif.cli.console import Console

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in zip(*cells, strict=True):
        shown.add_column(column[0], no_wrap=True, min_width=max(map(len, column)))
    for line in cells[1:]:
        shown.add_row(*line)
    Console().print(shown)
