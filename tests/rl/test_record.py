import json
import math

import pytest
import torch

from rlaif.rl import state as checkpoints
from rlaif.rl.record import RunLog
from rlaif.rl.rollout import Rewards
from tests.events import events


@pytest.fixture
def record(configured, tmp_path):
    (tmp_path / "run").mkdir()
    told = []

    def call(begun_at=0, **given):
        found = RunLog(configured("rloo", steps=20, **given), begun_at, lambda step, figures: told.append((step, figures)))
        found.told = told
        return found

    return call


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_came_after_the_checkpoint_is_forgotten(record, tmp_path):
    first = record()
    for step in range(5):
        first.metrics(step, {"reward": float(step)})
    first.warn(4, "look")
    record(begun_at=2).metrics(3, {"reward": 33.0})
    assert [(entry["step"], entry["reward"]) for entry in lines(tmp_path / "run/metrics.jsonl")] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (3, 33),
    ]
    assert lines(tmp_path / "run/warnings.jsonl") == []
    record()
    assert lines(tmp_path / "run/metrics.jsonl") == []


def test_what_is_no_number_is_null_in_the_file_and_nothing_to_the_bar(record, tmp_path):
    found = record()
    found.metrics(1, {"kl": math.nan, "reward": 1.0})
    assert lines(tmp_path / "run/metrics.jsonl") == [{"step": 1, "kl": None, "reward": 1.0}]
    assert found.told == [(1, {"reward": 1.0})]


def test_a_table_shows_one_response_to_each_of_the_first_prompts(record, tmp_path, made_up):
    rollouts = made_up(40)
    values = torch.arange(40.0)
    values[2] = math.nan
    rewards = Rewards(values, ~values.isnan(), {"polite": values / 10}, {})
    record().samples(7, rollouts, rewards, None)
    table = lines(tmp_path / "run/samples.jsonl")
    assert [entry["id"] for entry in table] == [str(group) for group in range(16)]
    assert [entry["reward"] for entry in table[:3]] == [0.0, None, 4.0]
    assert table[2]["rewards"] == {"polite": 0.4} and "second" not in table[0]


def test_checkpoints_come_by_steps_by_time_and_at_the_end(record, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("rlaif.rl.record.time.monotonic", lambda: now[0])
    by_steps, by_time = record(save_every=6), record(save_every=100, save_minutes=2.0)
    assert [step for step in range(1, 21) if by_steps.saves(step)] == [6, 12, 18, 20]
    assert not by_time.saves(3)
    now[0] = 121.0
    assert by_time.saves(3)
    by_time.save(3, {"step": 3})
    assert not by_time.saves(4) and by_time.saves(20)


def test_the_newest_checkpoints_and_the_policies_to_keep_stay(tmp_path):
    weights = {"w": torch.ones(2)}
    assert checkpoints.load_newest(tmp_path) is None
    for step in (2, 9, 10, 11):
        checkpoints.save(tmp_path, step, {"step": step, "policy": weights})
        checkpoints.save_policy(tmp_path, step, weights)
        checkpoints.prune_policies(tmp_path, {2, step})
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == ["policy-11.pt", "policy-2.pt", "step-11.pt"]
    assert checkpoints.load_newest(tmp_path)["step"] == 11
    assert torch.equal(checkpoints.load_policy(tmp_path, 2)["w"], weights["w"])


def test_a_policy_that_the_last_checkpoint_wants_stays_until_the_next(record, tmp_path):
    found, there = record(), tmp_path / "run/checkpoints"
    for step, keep in ((1, {1}), (2, {2})):
        found.policy(step, {"w": torch.ones(2)}, keep)
    assert sorted(path.name for path in there.glob("policy-*")) == ["policy-1.pt", "policy-2.pt"]
    found.save(2, {"step": 2})
    assert sorted(path.name for path in there.glob("policy-*")) == ["policy-2.pt"]


def test_what_was_known_is_known_after_a_resume_even_with_a_torn_line(record, tmp_path):
    first = record()
    for step in range(4):
        first.metrics(step, {"reward": float(step), "kl": math.nan})
    first.warn(1, "look")
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "rew')
    again = record(begun_at=2)
    assert again.last == {"reward": 2.0} and again.warnings == 1
    assert [entry["step"] for entry in lines(tmp_path / "run/metrics.jsonl")] == [0, 1, 2]


def test_metrics_go_to_tensorboard(record, tmp_path):
    found = record(track="tensorboard")
    found.metrics(1, {"reward": 1.0, "kl": math.nan})
    found.close()
    assert events(tmp_path / "run") == {"reward": {1: 1.0}}
