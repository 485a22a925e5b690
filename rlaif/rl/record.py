"""What a run leaves behind as it goes: metrics, sample tables, checkpoints; kept in step with each other when it resumes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from rlaif.config_file import shown
from rlaif.data.write import atomic_write, dumps
from rlaif.rl import state as checkpoints
from rlaif.rl.config import RlConfig
from rlaif.rl.rollout import Rewards, Rollout
from rlaif.tracking import Tracker

SHOWN = 16
"""Responses in each sample table: to the same prompts every time."""


class Log(Protocol):
    """What the loop tells the run that it is part of. Steps count what is done: 0 is before the first update."""

    def metrics(self, step: int, figures: Mapping[str, float]) -> None: ...
    def samples(self, step: int, rollouts: Sequence[Rollout], rewards: Rewards, second: Rewards | None) -> None: ...
    def warn(self, step: int, text: str) -> None: ...
    def policy(self, step: int, weights: Mapping[str, Tensor], keep: Collection[int]) -> None: ...
    def saves(self, step: int) -> bool: ...
    def save(self, step: int, state: Mapping[str, Any]) -> None: ...


@dataclass
class RunLog:
    """A ``Log`` in the run's folder: ``metrics.jsonl``, ``samples.jsonl``, ``warnings.jsonl`` and ``checkpoints/``.

    begun_at: the step that the run goes on from; what the files say of later steps is from before it was stopped, and goes.
    progress: called with the step and its figures. dtype: of the policies that are kept, as of the model that is saved at the
    end; None keeps them as they are trained.
    """

    config: RlConfig
    begun_at: int
    progress: Callable[[int, dict[str, float]], None]
    dtype: torch.dtype | None = None
    last: dict[str, float] = field(default_factory=dict)
    warnings: int = 0

    def __post_init__(self) -> None:
        self._tracker = Tracker(self.config.track, self.config.out, shown(self.config), self.begun_at)
        self._saved = time.monotonic()
        self._keep: Collection[int] = ()
        kept = {name: self._go_on(self.config.out / f"{name}.jsonl") for name in ("metrics", "samples", "warnings")}
        for entry in kept["metrics"]:
            self.last |= {name: value for name, value in entry.items() if name != "step" and value is not None}
        self.warnings = len(kept["warnings"])

    def _go_on(self, path: Path) -> list[dict[str, Any]]:
        """Cut a file back to the step that the run goes on from; its entries until there."""
        kept = [entry for entry in _entries(path) if self.begun_at and entry["step"] <= self.begun_at]
        with atomic_write(path) as file:
            file.writelines(dumps(entry) + "\n" for entry in kept)
        return kept

    def metrics(self, step: int, figures: Mapping[str, float]) -> None:
        finite = {name: value if value - value == 0 else None for name, value in figures.items()}
        self._append("metrics", [{"step": step, **finite}])
        self.last |= {name: value for name, value in finite.items() if value is not None}
        self._tracker.log(step, figures)
        self.progress(step, self.last)

    def samples(self, step: int, rollouts: Sequence[Rollout], rewards: Rewards, second: Rewards | None) -> None:
        seen: set[int] = set()
        entries: list[dict[str, Any]] = []
        for row, rollout in enumerate(rollouts):
            if rollout.query.group not in seen and len(seen) < SHOWN:
                seen.add(rollout.query.group)
                entry = {
                    "step": step,
                    "id": rollout.query.row.id,
                    "prompt": rollout.query.row.conversation,
                    "response": rollout.text,
                }
                entry |= {"ended": rollout.ended, **_rewards_of(rewards, row)}
                entries.append(entry | ({"second": _rewards_of(second, row)} if second else {}))
        self._append("samples", entries)

    def warn(self, step: int, text: str) -> None:
        self.warnings += 1
        self._append("warnings", [{"step": step, "warning": text}])

    def policy(self, step: int, weights: Mapping[str, Tensor], keep: Collection[int]) -> None:
        checkpoints.save_policy(self.config.out / "checkpoints", step, weights, self.dtype)
        self._keep = keep

    def saves(self, step: int) -> bool:
        """By steps, and where asked for by time; always at the end."""
        minutes = self.config.save_minutes
        due = minutes is not None and time.monotonic() - self._saved > 60 * minutes
        return due or step % self.config.saves_every == 0 or step == self.config.steps

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        checkpoints.save(self.config.out / "checkpoints", step, state)
        if self._keep:
            checkpoints.prune_policies(self.config.out / "checkpoints", self._keep)
        self._saved = time.monotonic()

    def close(self) -> None:
        """Nothing more is to be said."""
        self._tracker.close()

    def _append(self, name: str, entries: Sequence[Mapping[str, Any]]) -> None:
        with (self.config.out / f"{name}.jsonl").open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(dumps(entry) + "\n" for entry in entries)
            file.flush()
            os.fsync(file.fileno())


class NoLog:
    """A ``Log`` that writes nothing: of all processes of a run but the main one."""

    warnings, last = 0, dict[str, float]()

    def metrics(self, step: int, figures: Mapping[str, float]) -> None: ...
    def samples(self, step: int, rollouts: Sequence[Rollout], rewards: Rewards, second: Rewards | None) -> None: ...
    def warn(self, step: int, text: str) -> None: ...
    def policy(self, step: int, weights: Mapping[str, Tensor], keep: Collection[int]) -> None: ...
    def save(self, step: int, state: Mapping[str, Any]) -> None: ...
    def close(self) -> None: ...
    def saves(self, step: int) -> bool:
        return False


def _entries(path: Path) -> list[dict[str, Any]]:
    """A file's entries; what follows a line that a kill has cut short is from after the last checkpoint."""
    entries: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []:
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries


def _rewards_of(rewards: Rewards, row: int) -> dict[str, Any]:
    """A rollout's reward and its columns; null where missing."""
    columns = {name: _number(values[row]) for name, values in rewards.columns.items()}
    return {"reward": _number(rewards.values[row]), "rewards": columns}


def _number(value: Tensor) -> float | None:
    return None if value.isnan() else round(value.item(), 6)
