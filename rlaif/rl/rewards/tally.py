"""From what is known of each rollout to ``Rewards``, and back to how much is missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from rlaif.rl.rollout import Rewards

FAILED, SPREAD, VETO = "failed", "spread", "veto"
"""Columns about a reward: the share of a rollout's verdicts that failed; an ensemble's standard deviation; whether a mix's
gate decided. Names that users give stand in namespaces, so that none is taken for one of these: ``principles/ID`` and, in a
mix, ``sources/NAME`` for a source's values and ``sources/NAME/COLUMN`` for its columns."""


def of_principle(name: str) -> str:
    """The column of a principle's values."""
    return f"principles/{name}"


def of_source(name: str, column: str = "") -> str:
    """The column of a source's values in a mix, or of one of its columns."""
    return f"sources/{name}/{column}" if column else f"sources/{name}"


def of_kind(columns: Mapping[str, Tensor], kind: str) -> Iterator[Tensor]:
    """The columns [B] of a kind, ``FAILED``, ``SPREAD`` or ``VETO``: the reward's own, or those of a mix's sources."""
    return (values for name, values in columns.items() if _kind(name) == kind)


def values_of(columns: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The other columns: what a principle or a source thinks of each rollout, by the column's name."""
    return ((name, values) for name, values in columns.items() if not _kind(name))


def column(values: Sequence[float | None]) -> Tensor:
    """[B], float32, NaN where there is no value."""
    return torch.tensor([math.nan if value is None else value for value in values], dtype=torch.float32)


def tally(values: Tensor, columns: Mapping[str, Tensor], reasons: Sequence[str]) -> Rewards:
    """values: [B], NaN where missing. reasons: per rollout, why it has no value; not read where it has one."""
    valid = ~values.isnan()
    failures = Counter(str(reason) for reason, known in zip(reasons, valid.tolist(), strict=True) if not known)
    return Rewards(values, valid, columns, failures)


def failure_rate(rewards: Rewards) -> float:
    """Share of what was asked that has no verdict, in [0, 1]: of the rewards, or of a critic's verdicts where that is more.

    A reward may stand on six principles of seven; that the seventh always fails must still be noticed.
    """
    if not len(rewards.values):
        return 0.0
    known = [values[~values.isnan()] for values in of_kind(rewards.columns, FAILED)]
    return max([1.0 - rewards.valid.float().mean().item(), *(values.mean().item() for values in known if len(values))])


def _kind(name: str) -> str:
    """Which kind of column about a reward this is; empty for the values of a principle or a source."""
    if name.startswith("sources/"):
        name = name.partition("/")[2].partition("/")[2]
    return name if name in (FAILED, SPREAD, VETO) else ""
