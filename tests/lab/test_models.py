"""The models in the package: small, of the right kind, and as good as they are said to be."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest

from rlaif.constitution.load import load_constitution
from rlaif.critic.modes.compare import first_label
from rlaif.critic.revise import Draft, Reviser
from rlaif.critic.store import VerdictStore
from rlaif.critic.templates import load_template
from rlaif.data.rows import Response, Row
from rlaif.engines import EngineConfig
from rlaif.engines.base import Sampling
from rlaif.lab import MODELS, wordings
from rlaif.lab.gold import PRINCIPLES, gold
from rlaif.lab.policy import sampled_rows
from rlaif.lab.questions import questions
from rlaif.lab.revising import NO_FAULT, revise
from rlaif.lab.world import rows

BLIND = {"correct"}
"""What the shipped critic is allowed not to see (benchmarks/lab.md)."""


@pytest.fixture(scope="module")
def critic():
    return EngineConfig("lab", engine="transformers").open()


def judged(engine, swapped=False):
    """Per principle: the share of non-tie pairs of 80 held-out rows in which the verdict's winner is gold's, in one order."""
    template, rng = load_template("compare"), random.Random(0)
    asked, prompts = [], []
    for row in rows(80, seed=11, split="heldout"):
        pair = row["responses"][::-1] if swapped else row["responses"]
        responses = [[{"role": "assistant", "content": response["text"]}] for response in pair]
        for name in PRINCIPLES:
            margin = pair[0]["gold"][name] - pair[1]["gold"][name]
            if margin:
                wording = template.wording(rng.choice(wordings.texts(name, "train")), None)
                prompts.append(template.render(wording, [{"role": "user", "content": row["prompt"]}], responses))
                asked.append((name, margin > 0))
    answers = asyncio.run(engine.choose(prompts, template.choices))
    right = {name: [] for name in PRINCIPLES}
    for (name, better), answer in zip(asked, answers, strict=True):
        assert answer.mass > 0.9
        right[name].append((first_label(answer) > 0.5) == better)
    return {name: sum(found) / len(found) for name, found in right.items()}


def test_together_they_are_small():
    size = sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file())
    assert size < 10_000_000


@pytest.mark.parametrize("name", ["policy", "critic", "fallible", "reviser"])
def test_configuration_suits_vllm(name):
    config = json.loads((MODELS / name / "config.json").read_text())
    assert config["architectures"] == ["Qwen3ForCausalLM"]
    assert config["head_dim"] == 64
    assert config["tie_word_embeddings"] is False
    assert config["max_position_embeddings"] == 1024
    assert (MODELS / name / "model.safetensors").is_file()


def test_the_critic_sees_every_principle_but_its_blind_spot(critic):
    found = judged(critic)
    assert sum(found.values()) / len(found) > 0.8
    for name in set(PRINCIPLES) - BLIND:
        assert found[name] > 0.7, found


def test_the_fallible_critic_is_worse_but_no_coin(critic):
    found = judged(EngineConfig("lab:fallible", engine="transformers").open())
    assert 0.6 < sum(found.values()) / len(found) < 0.85


def test_the_policy_answers_and_ends():
    drawn = asyncio.run(sampled_rows(EngineConfig("lab:policy", engine="transformers").open(), 40, 5, "heldout", 2))
    replies = [response for row in drawn for response in row["responses"]]
    assert sum(response["finish"] == "stop" for response in replies) >= 0.95 * len(replies)
    assert len({response["text"] for response in replies}) >= 0.9 * len(replies)
    assert all(0 <= score <= 1 for response in replies for score in response["gold"].values())


def test_the_reviser_finds_faults_and_mends_them_but_for_its_blind_spot(tmp_path):
    lab = load_constitution(Path(__file__).parents[2] / "constitutions" / "lab.yaml")
    drafts = []
    for number, row in enumerate(rows(60, seed=13, split="heldout", responses=1), 1):
        asked, said = {"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["responses"][0]["text"]}
        drafts.append(Draft(Row(number, row["id"], (asked,), (Response((said,)),)), 0))
    with VerdictStore(tmp_path / "s.sqlite") as store:
        engine = EngineConfig("lab:reviser", engine="transformers").open()
        reviser = Reviser(engine, load_template("revise"), lab, store, Sampling(256, 0.0))
        done = asyncio.run(reviser.advance(drafts, 1))
    raised, found, kept = [], [], []
    for draft in done:
        prompt, (principle, critique, text) = draft.row.conversation[0]["content"], draft.revisions[0]
        if principle.id in BLIND:
            continue
        fault = revise(questions()[prompt], draft.original, principle.id, random.Random(0))[0] != NO_FAULT
        found.append((critique != NO_FAULT) == fault)
        before, after = (gold(prompt, one)[principle.id] for one in (draft.original, text))
        (raised if fault else kept).append(after > before if fault else after >= before)
    assert len(raised) > 15 and len(kept) > 15
    for right in (raised, found, kept):
        assert sum(right) > 0.85 * len(right)
