"""From what is known of each rollout to ``Rewards``, and back to how much is missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from rlaif.rl.rollout import Rewards

FAILED = "failed"
"""The column that holds the share of a rollout's verdicts that failed."""


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
    verdicts = [values for name, values in rewards.columns.items() if name.rpartition("/")[2] == FAILED]
    known = [values[~values.isnan()] for values in verdicts]
    return max([1.0 - rewards.valid.float().mean().item(), *(values.mean().item() for values in known if len(values))])
