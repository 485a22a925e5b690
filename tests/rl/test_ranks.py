"""Two processes on one machine are one run: its weights, its figures, its messages, and its continuation."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from rlaif.data.rows import Row
from rlaif.rl.batch import micro_batches
from rlaif.rl.ranks import share_of
from rlaif.rl.rollout import Query
from tests.rl import launched
from tests.tiny import save_model

RUN = {"batch_size": 5, "samples": 2, "max_tokens": 8, "steps": 3, "learning_rate": 1e-3, "eval_prompts": 3, "eval_every": 2}
RUN |= {"max_failure_rate": 0.6, "micro_tokens": 64, "precision": "float32", "save_every": 2}
JOBS = {
    "ppo": {"method": "ppo", "value_warmup": 1, "epochs": 2, "minibatches": 2, "normalise_rewards": True, "kl_target": 1.0},
    "reinforce": {"method": "reinforce", "value_warmup": 0, "lora": 2, "entropy": 0.01},
    "rloo": {"method": "rloo", "samples": 3, "skip_alike": True, "refill": 1, "target_kl": 1.0},
    "grpo": {"method": "grpo", "epochs": 2, "samples": 3},
    "ppo-shard": {"method": "ppo", "value_warmup": 1, "epochs": 2, "minibatches": 2, "shard": True},
    "reinforce-shard": {"method": "reinforce", "value_warmup": 0, "lora": 2, "entropy": 0.01, "shard": True},
    "rloo-shard": {"method": "rloo", "samples": 3, "shard": True, "gradient_checkpointing": True},
    "grpo-shard": {"method": "grpo", "epochs": 2, "samples": 3, "shard": True, "async": 1},
    "ahead": {"method": "rloo", "async": 2, "importance": "mask", "steps": 4},
}


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def distance(one, other):
    first, second = (load_file(folder / "model" / "model.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """The settings of a run that both sides share."""
    folder = tmp_path_factory.mktemp("given")
    model = save_model(folder / "tiny")
    prompts = [{"prompt": f"{'Why? ' * (number % 4)}Tell me of {number}."} for number in range(14)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    return {"source": str(folder / "prompts.jsonl"), "model": str(model), **RUN}


@pytest.fixture(scope="module")
def two(tmp_path_factory, given):
    """The folder in which two processes ran all jobs."""
    folder = tmp_path_factory.mktemp("two")
    jobs = [{"name": name, **given, **job} for name, job in JOBS.items()]
    killed = {"name": "killed", **given, **JOBS["ppo"]}
    jobs += [{**killed, "kill": 2}, killed]
    halved = {**given, **JOBS["ppo-shard"], "name": "killed-shard"}
    jobs += [{**halved, "kill": 2}, halved]
    jobs += [{**killed, "name": "nowhere", "source": "nowhere.jsonl"}, {**killed, "name": "silent", "verifier": "never"}]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "tests.rl.launched", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


@pytest.mark.parametrize("name", JOBS)
def test_the_weights_are_those_of_one_process(two, given, tmp_path, name):
    """With three verdicts in ten missing, wherever they fall."""
    alone = {**given, **JOBS[name], "shard": False}
    assert launched.run(alone, tmp_path / name) == "finished"
    assert distance(two / name, tmp_path / name) < 1e-5
    both = [lines(folder / "metrics.jsonl") for folder in (two / name, tmp_path / name)]
    assert [len(each) for each in both] == [JOBS[name].get("steps", 3) + 1] * 2
    for here, there in zip(*both, strict=True):
        assert here.keys() == there.keys()
        for metric in here:
            if not metric.startswith(("seconds", "waiting")):
                assert here[metric] == pytest.approx(there[metric], rel=1e-3, abs=1e-4), metric
    assert 0 < both[0][1]["failed"] < 1 and both[0][3]["gradient_norm"] > 0
    tables = [lines(folder / "samples.jsonl") for folder in (two / name, tmp_path / name)]
    assert [entry["response"] for entry in tables[0]] == [entry["response"] for entry in tables[1]]


def test_a_run_that_was_killed_ends_as_it_would_have(two):
    for name in ("", "-shard"):
        assert distance(two / f"killed{name}", two / f"ppo{name}") == 0


def test_the_main_process_says_what_is_wrong_and_the_other_leaves(two):
    first, second = ((two / f"said.{number}").read_text().splitlines() for number in (0, 1))
    done = len(JOBS)
    assert first[:done] == second[:done] == ["finished"] * done
    for killed in (done, done + 2):
        assert first[killed] == second[killed] == "left" and first[killed + 1] == second[killed + 1] == "finished"
    assert first[done + 4].startswith("nowhere.jsonl: no such file") and second[done + 4] == "left"
    assert "--max-failure-rate" in first[done + 5] and second[done + 5] == "left"
    assert json.loads((two / "silent" / "run.json").read_text())["status"] == "failed"


def test_the_shares_of_prompts_and_rows_are_the_whole(monkeypatch):
    queries = [Query(Row(number, str(number), (), ()), "", number, (number,)) for number in range(7)]
    found: list[Query] = []
    for number in range(3):
        monkeypatch.setattr("rlaif.rl.ranks.share", lambda number=number: (number, 3))
        found += share_of(queries, False)
        assert share_of(queries, True) == (queries if number == 0 else [])
    assert sorted(found, key=lambda query: query.group) == queries
    lengths = torch.tensor([5, 9, 1, 4, 4, 7, 2])
    rows = [row for number in range(3) for part in micro_batches(lengths, 9, (number, 3)) for row in part.tolist()]
    assert sorted(rows) == list(range(7))
    assert list(micro_batches(lengths[:1], 9, (1, 3))) == []
