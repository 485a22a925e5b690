import pytest
import torch

from rlaif.rl.methods.maxrl import MaxRl
from rlaif.settings import configure


def test_of_right_and_wrong_the_rare_right_one_counts_most():
    config = configure(MaxRl, source="none", model="none", out="none")
    totals = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    advantages = config.advantages(totals, torch.tensor([0] * 4 + [1] * 4 + [2] * 2), torch.ones(10))
    assert advantages.tolist() == pytest.approx([3, -1, -1, -1, 1 / 3, 1 / 3, 1 / 3, -1, 0, 0], rel=1e-4)


def test_a_mean_that_is_not_above_zero_teaches_nothing():
    config = configure(MaxRl, source="none", model="none", out="none")
    assert not config.advantages(torch.tensor([-1.0, 0.5]), torch.tensor([0, 0]), torch.ones(2)).any()
