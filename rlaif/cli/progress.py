"""The progress bar of a labelling run."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rlaif.label import Counts


class LabelProgress:
    """A context manager: rows done and to do, rates, tokens, answers from the store, failures, time left; on stderr."""

    def __init__(self, console: Console) -> None:
        self._loading = console.status("opening the critic")
        self._bar = Progress(
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[figures]}"),
            console=console,
        )
        self._task = self._bar.add_task("label", total=None, figures="…")
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._loading.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loading.stop()
        self._bar.stop()

    def start(self, total: int | None) -> None:
        """The engine is ready. total: rows to come, None when unknown."""
        self._loading.stop()
        self._started = time.monotonic()
        self._bar.reset(self._task, total=total)
        self._bar.start()

    def update(self, counts: Counts) -> None:
        seconds = max(1e-9, time.monotonic() - self._started)
        figures = (
            f"{counts.rows_in / seconds:.1f} rows/s · {counts.verdicts / seconds:.0f} verdicts/s\n"
            f"{counts.prompt_tokens / 1e3:.0f}k tokens · {counts.cached} cached · {counts.failed} failed"
        )
        self._bar.update(self._task, completed=counts.rows_in, figures=figures)
