"""Where a run's figures go besides ``metrics.jsonl``: TensorBoard, Weights & Biases and trackio, by accelerate's trackers.

Imports nothing heavy until something is tracked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rlaif.errors import UsageError
from rlaif.settings import setting

TRACKERS = ("tensorboard", "wandb", "trackio")
"""Each is also the name of the package that it needs."""
PROJECT = "rlaif"


@dataclass(frozen=True, kw_only=True)
class TrackConfig:
    """The one setting of every command that has figures."""

    track: str = setting(
        "",
        f"Also log to {TRACKERS[0]} (in OUT/tensorboard), {TRACKERS[1]} or {TRACKERS[2]}; several with commas.",
        panel="Output",
        resumable=True,
    )


def chosen(track: str) -> list[str]:
    """The trackers that ``--track`` names. Raises UsageError where one is not known, or not installed."""
    from rlaif.constitution.problems import nearest

    names = list(dict.fromkeys(name.strip() for name in track.split(",") if name.strip()))
    for name in names:
        if name not in TRACKERS:
            raise UsageError(f"--track {name}: expected {', '.join(TRACKERS)}, or several of them{nearest(name, TRACKERS)}")
        if find_spec(name) is None:
            raise UsageError(f"--track {name}: the package {name} is not installed; pip install {name}")
    return names


class Tracker:
    """Hands figures to the trackers that were chosen; of several processes, only the main one's count.

    track: as ``chosen`` reads it. out: the run's folder, whose name is the run's. config: its settings, as ``run.json`` has
    them. begun_at: the step that the run goes on from; what a tracker holds of later steps is from before it was stopped.
    """

    def __init__(self, track: str, out: Path, config: Mapping[str, Any], begun_at: int = 0) -> None:
        names = chosen(track)
        self._trackers = [_open(name, out, config, begun_at) for name in names] if names and _speaks() else []

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """The figures of a step. Those that are not finite are left out: no tracker can draw them."""
        finite = {name: value for name, value in figures.items() if value - value == 0}
        for tracker in self._trackers:
            tracker.log(finite, step=step)

    def close(self) -> None:
        """Have the trackers write what they still hold."""
        for tracker in self._trackers:
            tracker.finish()


def _speaks() -> bool:
    """Whether this is the main process, or the only one."""
    from rlaif.processes import processes

    return bool(processes().is_main_process)


def _open(name: str, out: Path, config: Mapping[str, Any], begun_at: int) -> Any:
    from accelerate import tracking

    if name == "tensorboard":
        purged = begun_at + 1 if begun_at else 0
        tracker: Any = tracking.TensorBoardTracker("tensorboard", out, purge_step=purged)
    elif name == "wandb":
        tracker = tracking.WandBTracker(PROJECT, name=out.name, dir=str(out), config=dict(config))
    else:
        resume = "allow" if begun_at else "never"
        tracker = tracking.TrackioTracker(PROJECT, name=out.name, config=dict(config), resume=resume)
    tracker.start()
    return tracker
