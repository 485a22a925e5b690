"""Rewards from trained reward models, one or an ensemble."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from rlaif.engines.base import FailureReason
from rlaif.rl.rewards.base import Context, Opened, given
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.tally import SPREAD, tally
from rlaif.rl.rollout import Rewards, Rollout
from rlaif.train.config import Prediction
from rlaif.train.predict import RewardModel, combine


@dataclass
class ModelReward:
    """A RewardSource. Members of all ``models`` are one ensemble; where there are several, the column ``spread`` is their
    standard deviation [B], with 1/k in the variance. prediction, penalty: as in ``combine``."""

    models: Sequence[RewardModel]
    prediction: Prediction = "mean"
    penalty: float = 0.1
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, rollouts: Sequence[Rollout]) -> Rewards:
        conversations = [rollout.query.row.conversation for rollout in rollouts]
        texts = [rollout.text for rollout in rollouts]
        async with self._turn:  # beside generation, but not beside itself
            scored = await asyncio.to_thread(lambda: [model.members(conversations, texts) for model in self.models])
        members = torch.cat(scored, -1)  # [B, M]
        columns = {SPREAD: members.std(-1, correction=0)} if members.shape[-1] > 1 else {}
        values = combine(members, self.prediction, self.penalty)
        return tally(values, columns, [FailureReason.TOO_LONG] * len(rollouts))


def open_model(config: RewardConfig, context: Context) -> Opened:
    """``--reward model``. Raises UsageError where no folder is named, or one holds no reward model."""
    paths = given(config.reward_model, "model", "--reward-model").split(",")
    models = [RewardModel(path, trust_remote_code=config.critic.engine.trust_remote_code) for path in paths]
    facts = {
        "models": [model.identity for model in models],
        "prediction": config.prediction,
        "penalty": config.penalty,
    }
    return ModelReward(models, config.prediction, config.penalty), facts
