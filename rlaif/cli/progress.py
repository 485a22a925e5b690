"""The progress bars of long commands, on stderr: a spinner until the work begins, then a bar."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from rlaif.cli.console import Console

if TYPE_CHECKING:
    from rlaif.label.pipeline import Counts
    from rlaif.sample.run import SampleCounts


class RunProgress:
    """A context manager: what is being done, how much is done and to do, time left, the latest figures."""

    def __init__(self, console: Console, opening: str) -> None:
        self._loading = console.status(opening)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[figures]}"),
            console=console,
        )

    def __enter__(self) -> Self:
        self._loading.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._loading.stop()
        self._bar.stop()

    def _begin(self, name: str, total: int | None, done: int = 0) -> TaskID:
        self._loading.stop()
        self._bar.start()
        return self._bar.add_task(name, total=total, completed=done, figures="")


class LabelProgress(RunProgress):
    """Rows done and to do, rates, tokens, answers from the store, failures."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "opening the critic")

    def start(self, total: int | None) -> None:
        """The engine is ready. total: rows to come, None when unknown."""
        self._started = time.monotonic()
        self._task = self._begin("label", total)

    def update(self, counts: Counts) -> None:
        seconds = max(1e-9, time.monotonic() - self._started)
        figures = (
            f"{counts.rows_in / seconds:.1f} rows/s · {counts.verdicts / seconds:.0f} verdicts/s\n"
            f"{counts.prompt_tokens / 1e3:.0f}k tokens · {counts.cached} cached · {counts.failed} failed"
        )
        self._bar.update(self._task, completed=counts.rows_in, figures=figures)


class SampleProgress(RunProgress):
    """Rows done and to do, and failures."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "opening the model")

    def start(self, total: int | None) -> None:
        """The engine is ready. total: rows to come, None when unknown."""
        self._started = time.monotonic()
        self._task = self._begin("sample", total)

    def update(self, counts: SampleCounts) -> None:
        seconds = max(1e-9, time.monotonic() - self._started)
        figures = f"{counts.rows_in / seconds:.1f} rows/s · {counts.rows_failed} failed"
        self._bar.update(self._task, completed=counts.rows_in, figures=figures)


class TrainProgress(RunProgress):
    """Steps done and to do of each stage, and the run's metrics: those of the names in ``shown``."""

    def __init__(self, console: Console, shown: Sequence[str] = ("loss", "margin", "accuracy", "eval_loss")) -> None:
        super().__init__(console, "opening data and model")
        self._shown = shown

    def stage(self, name: str, total: int | None, done: int) -> None:
        """The next thing begins. total: None when unknown."""
        self._task = self._begin(name, total, done)

    def update(self, done: int, figures: dict[str, float]) -> None:
        """figures: the run's latest metrics by name."""
        shown = [f"{name.replace('_', ' ')} {figures[name]:.3g}" for name in self._shown if name in figures]
        self._bar.update(self._task, completed=done, figures=" · ".join(shown))
