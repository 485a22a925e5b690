import math

import torch

from rlaif.rl.rewards.model import ModelReward
from tests.rl.rewards.rollouts import rewarded, rollout


class Fixed:
    """In place of a reward model: members' scores by text."""

    def __init__(self, *members: dict[str, float]) -> None:
        self._members = members

    def members(self, conversations, responses):
        assert all(conversation[0]["content"] == "hi" for conversation in conversations)
        return torch.tensor([[member.get(text, math.nan) for member in self._members] for text in responses])


def test_a_model_rewards_as_it_scores_and_what_it_cannot_score_is_missing():
    rewards = rewarded(ModelReward([Fixed({"a": 2.0, "b": -1.0})]), [rollout("b"), rollout("too long"), rollout("a")])
    torch.testing.assert_close(rewards.values, torch.tensor([-1.0, math.nan, 2.0]), equal_nan=True)
    assert rewards.failures == {"too_long": 1} and not rewards.columns


def test_members_of_all_folders_are_one_ensemble():
    models = [Fixed({"a": 1.0}, {"a": 3.0}), Fixed({"a": 5.0})]
    for prediction, expected in (("mean", 3.0), ("worst", 1.0), ("uncertainty", 3.0 - 0.1 * 8 / 3)):
        rewards = rewarded(ModelReward(models, prediction), [rollout("a"), rollout("b")])
        torch.testing.assert_close(rewards.values, torch.tensor([expected, math.nan]), equal_nan=True)
        torch.testing.assert_close(rewards.columns["spread"], torch.tensor([(8 / 3) ** 0.5, math.nan]), equal_nan=True)
