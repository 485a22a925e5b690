"""Small networks with their rollouts, and runs on the lab's policy that take seconds."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from itertools import islice

import pytest
import torch

from rlaif.data.rows import Row
from rlaif.lab.world import rows
from rlaif.models.load import find_base
from rlaif.rl.methods import METHODS
from rlaif.rl.networks import build
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rollout import Query, Rollout
from rlaif.settings import configure
from tests.tiny import save_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A random model's folder: of 64 hidden numbers, 2 layers, some 300 tokens."""
    return save_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def configured(tmp_path):
    """A configuration with little in it."""

    def call(method, **given):
        small = {"batch_size": 4, "samples": 2, "max_tokens": 8, "steps": 4, "learning_rate": 1e-3, "eval_prompts": 0}
        rewards = {"rewards": configure(RewardConfig, reward="gold")}
        given = {"source": "none", "model": "none", "out": tmp_path / "run", **small, **rewards, **given}
        reward = given.pop("rewards")
        return replace(configure(METHODS[method], **given), rewards=reward)

    return call


@pytest.fixture
def networks(tiny):
    """The networks of a configuration, of the tiny model. head: of the value net, whose own begins with zeros."""

    def call(config):
        torch.manual_seed(0)
        found = build(config, find_base(str(tiny), "causal", None, "float32", False))
        for name, value in (found.value.parameters() if found.value else {}).items():
            if name.startswith("head"):
                torch.nn.init.normal_(value, std=0.1)
        return found

    return call


@pytest.fixture
def made_up():
    """Rollouts of random tokens, two to a prompt, of unequal lengths."""

    def call(many=8, vocabulary=200, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def draw(longest):
            length = int(torch.randint(1, longest + 1, (1,), generator=generator))
            return tuple(torch.randint(3, vocabulary, (length,), generator=generator).tolist())

        found = []
        for group in range(many // 2):
            query = Query(Row(group + 1, str(group), (), ()), "", group, draw(9))
            for ids in (draw(7), draw(7)):
                logprobs = (-6 + torch.rand(len(ids), generator=generator)).tolist()
                found.append(Rollout(query, ids, tuple(logprobs), "", len(ids) < 7))
        return found

    return call


@pytest.fixture
def prompts(tmp_path):
    """A file of the lab's prompts."""
    path = tmp_path / "prompts.jsonl"
    found = islice(rows(24, 0, "train", responses=0), 24)
    path.write_text("".join(json.dumps({"id": row["id"], "prompt": row["prompt"]}) + "\n" for row in found), encoding="utf-8")
    return str(path)


@pytest.fixture
def learn(configured, prompts, tmp_path):
    """Run a method on the lab's policy; returns ``run.json``."""
    from rlaif.rl.run import run_rl

    def call(method, out="run", progress=None, **given):
        small = {"max_tokens": 12, "eval_prompts": 4, "source": prompts, "model": "lab:policy", "out": tmp_path / out}
        return run_rl(configured(method, **{**small, **given}), progress)

    return call


@pytest.fixture
def sampled():
    """All that a sampler draws, in the order of the groups."""

    def call(sampler, queries, n=1, temperature=1.0, seed=0):
        async def gather():
            return [one async for batch in sampler.sample(queries, n, temperature, seed) for one in batch]

        return sorted(asyncio.run(gather()), key=lambda one: one.query.group)

    return call
