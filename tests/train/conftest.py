"""Pairs of the lab's world in which one response is plainly better, and runs over them that take a second."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from rlaif.lab.world import rows
from rlaif.settings import configure
from rlaif.train.config import configuration
from rlaif.train.run import run_train


@pytest.fixture(autouse=True)
def in_one_thread(one_thread):
    """For every test here."""


@pytest.fixture
def pairs():
    """Eight rows: prompt, chosen, rejected, p_chosen."""
    found = []
    for row in islice(rows(40, seed=3, split="train"), 40):
        texts = [response["text"] for response in row["responses"][:2]]
        if len(set(texts)) == 2:
            found.append({"prompt": row["prompt"], "chosen": texts[0], "rejected": texts[1], "p_chosen": 0.95})
    return found[:8]


@pytest.fixture
def write(tmp_path):
    def to_file(records, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        return str(path)

    return to_file


@pytest.fixture
def train(tmp_path):
    """Train the lab's policy on a file; returns ``run.json``."""

    def call(method, source, out="run", progress=None, settings=None, **options):
        given = {
            "batch_size": 8,
            "micro_batch": 4,
            "max_steps": 6,
            "learning_rate": 1e-3,
            "schedule": "constant",
            "warmup": 0.0,
        }
        given |= {"model": "lab:policy", **options}
        config = configure(configuration(method), source=source, out=tmp_path / out, **{**given, **(settings or {})})
        return run_train(config, progress)

    return call


@pytest.fixture
def log(tmp_path):
    """The steps of a run's ``metrics.jsonl``."""

    def read(out="run"):
        entries = map(json.loads, (tmp_path / out / "metrics.jsonl").read_text().splitlines())
        return [entry for entry in entries if "loss" in entry]

    return read
