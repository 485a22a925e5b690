"""The progress bar of long commands, on stderr: a spinner until the work begins, then a line for each of its stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column

from rlaif.cli.console import Console

BAR, TIME, GAPS = 10, 7, 4
"""Columns of the terminal that the bar, the time left and the spaces between a line's five parts take."""

OFFLINE = ("loss", "accuracy", "margin", "eval_loss", "failed")
"""What the bar of training from a dataset shows."""


class ProgressBar:
    """A context manager. What is being done, how much is done and to do, the time left, and the latest figures.

    opening: what the spinner says. shown: names of figures, the most important first: a line holds as many as fit into the
    terminal's width. The bar, the counts and the time left are never cut.
    """

    def __init__(self, console: Console, opening: str, shown: Sequence[str] = ()) -> None:
        self._console, self._shown = console, shown
        self._loading = console.status(opening)
        whole = Column(no_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False, table_column=whole),
            BarColumn(bar_width=BAR, table_column=whole),
            MofNCompleteColumn(table_column=whole),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True, table_column=whole),
            TextColumn("{task.fields[figures]}", markup=False, table_column=whole),
            console=console,
        )
        self._task: TaskID | None = None
        self._room = 0
        self._warned = ""

    def __enter__(self) -> Self:
        self._loading.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loading.stop()
        self._bar.stop()

    def stage(self, name: str, total: int | None, done: int) -> None:
        """The next part of the work begins. total: None when unknown."""
        self._loading.stop()
        self._bar.start()
        self._task = self._bar.add_task(name, total=total, completed=done, figures="")
        counts = len(f"{total}/{total}") if total else 2 * len("0000000")
        self._room = self._console.width - len(name) - BAR - counts - TIME - GAPS

    def warn(self, words: Sequence[str]) -> None:
        """What makes the results doubtful so far, in a few words each; shown before the figures from the next update on."""
        self._warned = f"! {' · '.join(words)}" if words else ""

    def update(self, done: int, figures: Mapping[str, float]) -> None:
        """figures: the run's latest metrics by name."""
        assert self._task is not None, "an update outside of a stage"
        known = {name: figures[name] for name in self._shown if name in figures}
        self._bar.update(self._task, completed=done, figures=self._line(known))

    def _line(self, figures: Mapping[str, float]) -> str:
        """Warnings, cut where they do not fit, then the figures for which there is room."""
        warned = self._warned if len(self._warned) <= self._room else f"{self._warned[: max(0, self._room - 1)]}…"
        line = line_of(figures, self._room - len(warned) - 3 * bool(warned))
        return " · ".join(part for part in (warned, line) if part)


def line_of(figures: Mapping[str, float], room: int) -> str:
    """The figures in their order, as many as ``room`` characters hold."""
    line = ""
    for name, value in figures.items():
        number = f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
        longer = f"{line}{' · ' if line else ''}{name.replace('_', ' ')} {number}"
        if len(longer) > room:
            break
        line = longer
    return line
