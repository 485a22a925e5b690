"""Small networks with their rollouts, and runs on the lab's policy that take seconds."""

from __future__ import annotations

import asyncio
import copy
import json
from dataclasses import replace
from itertools import islice

import pytest
import torch

from rlaif.data.rows import Row
from rlaif.lab.world import rows
from rlaif.models.load import find_base
from rlaif.rl.loop import Loop
from rlaif.rl.maths.kl import FixedKL
from rlaif.rl.methods import METHODS
from rlaif.rl.monitor.monitor import Monitor
from rlaif.rl.networks import build
from rlaif.rl.parts import Parts
from rlaif.rl.prompts import Prompts
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rollout import Query, Rewards, Rollout
from rlaif.rl.update import Learner
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


class Log:
    """Keeps what it is told."""

    def __init__(self):
        self.figures, self.warnings, self.policies, self.states, self.tables = {}, [], [], [], []

    def metrics(self, step, figures):
        self.figures[step] = dict(figures)

    def samples(self, step, rollouts, rewards, second):
        self.tables.append((step, [one.query.row.number for one in rollouts]))

    def warn(self, step, text):
        self.warnings.append(text)

    def policy(self, step, weights, keep):
        self.policies.append(step)

    def saves(self, step):
        return False

    def save(self, step, state):
        self.states.append(copy.deepcopy(state))  # as a file would keep it


class Sampler:
    """Draws the same responses for the same queries and seed, from no model; notes what was asked of it."""

    def __init__(self, made_up, events):
        self._made_up, self.events, self._ahead = made_up, events, 0

    async def sample(self, queries, n, temperature, seed):
        self.events.append(f"sample {seed} at {temperature:g}")
        drawn = self._made_up(2 * len(queries), seed=seed)
        for place, query in enumerate(queries):
            await asyncio.sleep(0)
            yield [replace(one, query=replace(query, ids=one.query.ids)) for one in drawn[2 * place : 2 * place + n]]

    def update(self, model):
        self.events.append("update")

    def close(self):
        pass


async def by_length(rollouts):
    values = torch.tensor([float(len(one.ids)) for one in rollouts])
    return Rewards(values, torch.ones(len(values), dtype=torch.bool), {"long": values}, {})


@pytest.fixture
def loop(configured, networks, made_up):
    """A loop on the tiny model with made-up rollouts."""

    def call(method="rloo", source=by_length, second=None, held_out=0, coefficient=None, sleepers=(), **given):
        config = configured(method, **given)
        found = networks(config)
        queries = [Query(Row(number, str(number), (), ()), "ab"[number % 2], 0, (3, number)) for number in range(1, 9)]
        parts = Parts(
            found,
            Sampler(made_up, []),
            source,
            second,
            Prompts(queries, {}, 0),
            [replace(query, group=group) for group, query in enumerate(queries[:held_out])],
            Learner(config, found),
            Monitor(),
            coefficient or FixedKL(config.beta),
            0,
            sleepers=sleepers,
        )
        return Loop(config, parts, Log())

    return call
