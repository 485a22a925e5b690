"""Two processes on one machine, launched with the configurations that are shipped, against one process."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import yaml
from safetensors.torch import load_file

from rlaif.errors import UsageError
from rlaif.lab.world import rows
from rlaif.settings import configure
from rlaif.train.config import configuration
from rlaif.train.launch import path
from rlaif.train.run import run_train

RUN = {"model": "lab:policy", "batch_size": 8, "micro_batch": 2, "max_steps": 3}
RUN |= {"learning_rate": 1e-3, "schedule": "constant", "warmup": 0.0}
ADAPTER = {"lora": 4, "precision": "bfloat16", "gradient_checkpointing": True}
JOBS = {
    "dpo": {"method": "dpo", "eval_fraction": 0.2, "save_every": 2},
    "sft": {"method": "sft"},
    "kto": {"method": "kto"},
    "sharded": {"method": "dpo", "fsdp": True, "eval_fraction": 0.2, "save_every": 2},
    "adapter": {"method": "dpo", "fsdp": True, **ADAPTER},
    "bad": {"method": "dpo", "source": "nowhere.jsonl"},
    "nan": {"method": "dpo", "break": 1},
}


def launch(configuration, folder, jobs):
    """Run the jobs in two processes."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    where = ["-m", "accelerate.commands.launch", "--config_file", str(path(configuration)), "--main_process_port", "0"]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "DS_ACCELERATOR": "cpu",
    }
    command = [sys.executable, *where, "--num_processes", "2", "-m", "tests.train.launched", str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Eleven pairs, so that the last batch of an epoch is neither full nor even."""
    found = []
    for row in rows(40, seed=3, split="train"):
        texts = [response["text"] for response in row["responses"][:2]]
        if texts[0] != texts[1]:
            found.append({"prompt": row["prompt"], "chosen": texts[0], "rejected": texts[1], "p_chosen": 0.95})
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in found[:11]))
    return str(file)


@pytest.fixture(scope="module")
def two(tmp_path_factory, source):
    """The folder in which all the jobs ran."""
    folder = tmp_path_factory.mktemp("two")
    jobs = [{"name": name, "source": source, **RUN, **job} for name, job in JOBS.items()]
    resumed = {"name": "resumed", "source": source, **RUN, **JOBS["sharded"]}
    launch("fsdp2", folder, [*jobs, {**resumed, "kill": 2}, resumed])
    return folder


def alone(name, source, folder):
    job = {key: value for key, value in JOBS[name].items() if key != "fsdp"}
    config = configure(configuration(job.pop("method")), source=source, out=folder / name, **{**RUN, **job})
    run_train(config)
    return folder / name


def distance(one, other):
    """The largest difference of a weight, over all of them."""
    first, second = (load_file(folder / "model" / "model.safetensors") for folder in (one, other))
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


def log(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["dpo", "sft", "kto", "sharded"])
def test_two_processes_take_the_steps_of_one(two, source, tmp_path, name):
    one = alone(name, source, tmp_path)
    assert distance(two / name, one) < 5e-5  # of steps of 1e-3; Adam makes rounding errors of small gradients larger
    for here, there in zip(log(two / name), log(one), strict=True):
        assert here.keys() == there.keys()
        for metric in here.keys() & {"loss", "grad_norm", "margin", "z0", "eval_loss", "eval_margin"}:
            assert here[metric] == pytest.approx(there[metric], rel=1e-4, abs=1e-4)


def test_a_sharded_run_that_was_killed_ends_as_it_would_have(two):
    assert (two / "resumed.1").read_text() == "finished"
    assert distance(two / "resumed", two / "sharded") == 0


def test_an_adapter_in_bfloat16_with_checkpointed_gradients_can_be_sharded(two):
    assert (two / "adapter.0").read_text() == "finished"
    assert log(two / "adapter")[2]["margin"] > 0


def test_one_process_says_what_is_wrong(two):
    assert (two / "bad.0").read_text() == "nowhere.jsonl: no such file or folder"
    assert (two / "bad.1").read_text() == "left"
    assert "the loss is nan at step 1" in (two / "nan.0").read_text()
    assert (two / "nan.1").read_text() == "left"
    assert json.loads((two / "nan" / "run.json").read_text())["status"] == "failed"


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs deepspeed")
@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_takes_the_steps_of_one_process(source, tmp_path, stage):
    launch(f"deepspeed-zero{stage}", tmp_path, [{"name": "dpo", "source": source, **RUN, **JOBS["dpo"]}])
    assert distance(tmp_path / "dpo", alone("dpo", source, tmp_path / "one")) < 1e-5


@pytest.mark.parametrize("name", ["fsdp2", "deepspeed-zero2", "deepspeed-zero3"])
def test_configurations_are_found_and_leave_precision_to_the_command(name):
    found = yaml.safe_load(path(name).read_text())
    assert found["mixed_precision"] == "no"
    with pytest.raises(UsageError, match="there are deepspeed-zero2, deepspeed-zero3, fsdp2"):
        path("fsdp3")
