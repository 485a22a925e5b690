"""Figures of an iteration, against numbers worked out by hand."""

import math

import pytest
import torch

from rlaif.data.rows import Row
from rlaif.rl import figures
from rlaif.rl.rollout import Query, Rewards, Rollout

NAN = math.nan


def rollouts(groups, tasks=None, lengths=None):
    lengths = lengths or [1] * len(groups)
    return [
        Rollout(Query(Row(1, "1", (), ()), task, group, (1,)), (5,) * length, (0.0,) * length, "", length < 3)
        for group, task, length in zip(groups, tasks or [""] * len(groups), lengths, strict=True)
    ]


def rewards(values, **columns):
    values = torch.tensor(values)
    return Rewards(values, ~values.isnan(), {name: torch.tensor(column) for name, column in columns.items()}, {})


def test_what_is_missing_is_left_out_of_means_and_counted():
    of = figures.of_rewards(rewards([1.0, NAN, 3.0], polite=[NAN, NAN, 0.5]), rollouts([0, 0, 1], lengths=[1, 2, 3]))
    assert of == {
        "reward": 2.0,
        "reward_std": 1.0,
        "reward/polite": 0.5,
        "failed": pytest.approx(1 / 3),
        "ended": pytest.approx(2 / 3),
        "length": 2.0,
    }


def test_several_tasks_have_a_mean_each_and_one_has_none():
    values = rewards([1.0, 3.0, 10.0])
    both = figures.of_rewards(values, rollouts([0, 1, 2], ["sums", "sums", "chat"]))
    assert (both["task/sums"], both["task/chat"]) == (2.0, 10.0)
    assert not any(name.startswith("task/") for name in figures.of_rewards(values, rollouts([0, 1, 2], ["sums"] * 3)))


def test_where_no_reward_is_there_the_mean_is_not_a_number():
    of = figures.of_rewards(rewards([NAN, NAN]), rollouts([0, 1]))
    assert math.isnan(of["reward"]) and math.isnan(of["reward_std"]) and of["failed"] == 1.0


@pytest.mark.parametrize(
    ("values", "groups", "expected"),
    [
        ([1.0, 1.0, 1.0, 2.0], [0, 0, 1, 1], [0]),
        ([1.0, NAN, 2.0, 2.0], [0, 0, 1, 1], [1]),  # one reward is not two that are the same
        ([0.3, 0.3 + 1e-9, 0.3, 0.31], [7, 7, 8, 8], [7]),
        ([NAN, NAN], [0, 0], []),
    ],
)
def test_groups_whose_rewards_are_all_alike(values, groups, expected):
    values = torch.tensor(values, dtype=torch.float64)
    assert figures.alike(Rewards(values, ~values.isnan(), {}, {}), rollouts(groups)) == expected
