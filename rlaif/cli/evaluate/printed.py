"""What every command of ``rlaif evaluate`` prints, writes and requires when it has its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rlaif.cli.echo import echo, suggest

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
    for fact in found.facts:
        echo(fact)
    write(found, outcome, folder)
    suggest(following)
    hold(found, outcome, measures)


def print_cells(cells: list[list[str]]) -> None:
    """A table of texts, its first row the header. Where the terminal is too narrow, intervals go below their values."""
    from rich import box
    from rich.table import Table

    from rlaif.cli.console import Console

    console = Console()
    wide = sum(max(map(len, column)) + 2 for column in zip(*cells, strict=True)) > console.width
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=wide)
    texts = [[cell.replace(" [", "\n[") if wide else cell for cell in line] for line in cells[1:]]
    texts.insert(0, [name.replace(" ", "\n") if wide else name for name in cells[0]])
    for number, column in enumerate(zip(*texts, strict=True)):
        least = max(len(part) for text in column for part in text.split("\n"))
        names = number == 0 or column[0] == "name"  # those that are too long are folded
        shown.add_column(column[0], no_wrap=not names, overflow="fold", min_width=None if names else least)
    for line in texts[1:]:
        shown.add_row(*line)
    console.print(shown)
