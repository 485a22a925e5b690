"""Checkpoints: all that a run needs to go on as if it had not stopped, in place whole or not at all.

Nothing random is kept: every draw of the loop is seeded by the run's seed and what it is for (``Prompts``, ``Learner``, the
samplers), so that where a run stands is its step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rlaif.data.write import atomic_path
from rlaif.errors import UsageError
from rlaif.rl.shard import part_of, whole

FORMAT = 2
"""Of what a checkpoint holds. One of another format is refused: half of a state would go on as another run."""


def save(folder: Path, step: int, state: Mapping[str, Any]) -> None:
    """Write ``folder/step-N.pt``, and then remove the older ones; candidates for the best policy stay beside it."""
    _write(folder / f"step-{step}.pt", {"format": FORMAT, **state})
    for old in _steps(folder)[:-1]:
        (folder / f"step-{old}.pt").unlink()


def remove(folder: Path) -> None:
    """Remove all of them: a run that is finished goes on from none. Policies stay."""
    for step in _steps(folder):
        (folder / f"step-{step}.pt").unlink()


def load_newest(folder: Path) -> dict[str, Any] | None:
    """The state of the newest checkpoint, None where there is none. Raises UsageError for one of another format."""
    steps = _steps(folder)
    if not steps:
        return None
    path = folder / f"step-{steps[-1]}.pt"
    state = _read(path)
    if state.get("format") != FORMAT:
        raise UsageError(
            f"{path}: a checkpoint of another version of rlaif; go on with that version, or begin anew with --overwrite"
        )
    return state


def save_policy(folder: Path, step: int, weights: Mapping[str, Tensor], dtype: torch.dtype | None = None) -> None:
    """Write the policy's weights to ``folder/policy-STEP.pt``, as ``dtype`` where one is given."""
    _write(folder / f"policy-{step}.pt", {name: value.to(dtype or value.dtype) for name, value in weights.items()})


def prune_policies(folder: Path, keep: Collection[int]) -> None:
    """Remove the policies of steps not to ``keep``. Only after ``save``: what is in the newest checkpoint may still want the
    others, and a run that was killed goes on from there."""
    for old in _steps(folder, "policy"):
        if old not in keep:
            (folder / f"policy-{old}.pt").unlink()


def load_policy(folder: Path, step: int) -> dict[str, Any]:
    """The policy's weights as they were after ``step``."""
    return _read(folder / f"policy-{step}.pt")


def weights_of(parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """By name. Of sharded ones, which every process asks for at the same time, in one piece."""
    return {name: whole(value.detach()) for name, value in parameters.items()}


@torch.no_grad()
def put(parameters: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    """Set the parameters to the weights of the same names."""
    for name, value in parameters.items():
        value.copy_(part_of(weights[name], value))


def _steps(folder: Path, name: str = "step") -> list[int]:
    return sorted(int(path.stem.removeprefix(f"{name}-")) for path in folder.glob(f"{name}-*.pt"))


def _write(path: Path, state: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:  # a file of Python's: its errors say what is wrong
        torch.save(dict(state), file)


def _read(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state
