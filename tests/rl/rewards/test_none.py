import asyncio

from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.open import open_reward


def test_no_reward_is_zero_and_is_not_missing(made_up):
    opened = open_reward(RewardConfig(reward="none"))
    rewards = asyncio.run(opened.source(made_up(4)))
    assert rewards.values.tolist() == [0.0] * 4 and rewards.valid.all() and not rewards.columns
