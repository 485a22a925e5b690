"""How a run tells what it does: to a bar on the terminal, to a test, or to nobody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Stage = Callable[[str, int | None, int], None]
Update = Callable[[int, Mapping[str, float]], None]
Warn = Callable[[Sequence[str]], None]


def _ignore_stage(name: str, total: int | None, done: int) -> None:
    pass


def _ignore_update(done: int, figures: Mapping[str, float]) -> None:
    pass


def _ignore_warning(words: Sequence[str]) -> None:
    pass


@dataclass(frozen=True)
class Progress:
    """What a run calls as it goes on.

    stage: the next part of the work begins: its name, how many things there are to do (None where unknown), how many are done.
    update: how many are done by now, and the latest figures by name.
    warn: what makes the results doubtful so far, in a few words each; nothing where nothing does.
    """

    stage: Stage = _ignore_stage
    update: Update = _ignore_update
    warn: Warn = _ignore_warning

    def within(self, name: str) -> Progress:
        """The same, with ``name`` before the name of every stage."""
        return Progress(lambda stage, total, done: self.stage(f"{name} {stage}", total, done), self.update, self.warn)
