"""Rollouts by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from rlaif.data.rows import Row, Turn
from rlaif.rl.rollout import Query, Rewards, RewardSource, Rollout


def rollout(text: str, prompt: str = "hi", group: int = 0, task: str = "", **extra) -> Rollout:
    row = Row(group + 1, str(group), (Turn(role="user", content=prompt),), (), extra=extra)
    return Rollout(Query(row, task, group, (1,)), (2,), (0.0,), text, True)


def rewarded(source: RewardSource, rollouts: Sequence[Rollout]) -> Rewards:
    async def ask() -> Rewards:
        return await source(rollouts)

    return asyncio.run(ask())
