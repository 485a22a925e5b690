"""No reward, for methods that learn from something else."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rlaif.rl.rewards.base import Context, Opened
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rollout import Rewards, Rollout


async def no_reward(rollouts: Sequence[Rollout]) -> Rewards:
    """A RewardSource: 0 for all."""
    return Rewards(torch.zeros(len(rollouts)), torch.ones(len(rollouts), dtype=torch.bool), {}, {})


def open_none(config: RewardConfig, context: Context) -> Opened:
    """``--reward none``."""
    return no_reward, {}
