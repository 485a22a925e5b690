"""The figures of ``--dry-run``, against what the same commands then ask."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from rlaif.cost import on_policy_cost, revise_cost, rounds_cost, sample_cost, win_rate_cost
from rlaif.errors import UsageError
from rlaif.label.config import LabelConfig, ReviseConfig, WinRateConfig
from rlaif.label.run import run_label
from rlaif.label.win_rate import compare_models
from rlaif.rl.methods.grpo import Grpo
from rlaif.rl.run import run_rl
from rlaif.sample.config import SampleConfig
from rlaif.settings import configure
from rlaif.train.feedback import best_of_n_configuration, rounds_configuration

CONSTITUTION = """
name: c
version: 1
principles:
  - {id: kind, text: The response is kind.}
  - {id: safe, text: The response is safe., when: {topic: fire}}
"""
PROMPTS = 5


@pytest.fixture
def project(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "compare.yaml").write_text("rules: [{choose: {A: 0.6, B: 0.3}}]")
    (tmp_path / "score.yaml").write_text("rules: [{choose: {'3': 0.4, '7': 0.6}}]")
    rows = [{"prompt": f"p{i}", "topic": "fire" if i % 2 else "ice"} for i in range(PROMPTS)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "{}\n")
    return tmp_path


def asked(folder: Path, mode: str = "compare") -> dict:
    return {"critic": f"script:{folder / mode}.yaml", "constitution": folder / "c.yaml", "store": folder / "s.sqlite"}


def labelled(folder: Path, responses: int, **settings) -> int:
    """Answers and rationales that labelling rows of so many responses puts into the store."""
    rows = [json.loads(line) for line in (folder / "p.jsonl").read_text().splitlines()[:PROMPTS]]
    rows = [{**row, "responses": [f"{row['prompt']} {k}" for k in range(responses)]} for row in rows]
    (folder / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    whom = asked(folder, settings.get("mode", "compare"))
    run = run_label(configure(LabelConfig, source=str(folder / "r.jsonl"), out=folder / "label", **whom, **settings))
    return run["counts"]["asked"]


@pytest.mark.parametrize("schedule", ["all", "adjacent", "3", "swiss", "active"])
@pytest.mark.parametrize("orders", ["both", "ab"])
def test_rounds_ask_as_often_as_labelling_does(project, schedule, orders):
    given = {"source": str(project / "p.jsonl"), "model": "lab:policy", "out": project / "o", "rounds": 2, "samples": 4}
    cost = rounds_cost(configure(rounds_configuration("dpo"), **given, pairs=schedule, orders=orders, **asked(project)))
    assert (cost.prompts, cost.unusable, cost.texts, cost.tokens) == (PROMPTS, 1, 4 * PROMPTS, 4 * PROMPTS * 256)
    assert cost.calls == labelled(project, 4, pairs=schedule, orders=orders)


def test_best_of_n_scores_each_response(project):
    given = {"source": str(project / "p.jsonl"), "model": "lab:policy", "out": project / "o", "samples": 3}
    cost = rounds_cost(configure(best_of_n_configuration(), **given, **asked(project)))
    assert cost.calls == labelled(project, 3, mode="score")
    free = rounds_cost(configure(best_of_n_configuration(), **given, reward_model="lab:reward"))
    assert (free.texts, free.calls) == (3 * PROMPTS, 0)


def test_win_rates_ask_as_often_as_they_say(project):
    for name in "ab":
        rows = [json.loads(line) for line in (project / "p.jsonl").read_text().splitlines()[:PROMPTS]]
        rows = [{**row, "responses": [f"{name} {row['prompt']} {k}" for k in range(2)]} for row in rows]
        (project / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"model_a": str(project / "a.jsonl"), "out": project / "wins", "samples": 2, **asked(project)}
    config = configure(WinRateConfig, **given, model_b=str(project / "b.jsonl"))
    cost = win_rate_cost(config)
    compare_models(config)
    counts = json.loads((project / "wins" / "run.json").read_text())["counts"]
    assert (cost.prompts, cost.texts, cost.calls) == (2 * PROMPTS, 0, counts["asked"])
    with pytest.raises(UsageError, match="give --source"):
        win_rate_cost(configure(WinRateConfig, **given, model_b="lab:policy"))
    drawn = win_rate_cost(configure(WinRateConfig, **given, model_b="lab:policy", source=str(project / "p.jsonl")))
    assert (drawn.prompts, drawn.unusable, drawn.texts, drawn.calls) == (PROMPTS, 1, 2 * PROMPTS, cost.calls)


def test_sampling_and_revising(project):
    source = str(project / "p.jsonl")
    cost = sample_cost(configure(SampleConfig, source=source, model="m", out=project / "s.jsonl", samples=3, max_tokens=7))
    assert (cost.prompts, cost.unusable, cost.texts, cost.tokens, cost.calls) == (PROMPTS, 1, 15, 105, 0)
    row = {"prompt": "p", "responses": ["a", "b", "c"], "topic": "fire"}
    (project / "r.jsonl").write_text(json.dumps(row))
    revising = configure(ReviseConfig, source=str(project / "r.jsonl"), out=project / "o", rounds=2, **asked(project))
    cost = revise_cost(revising)
    assert (cost.texts, cost.calls) == (3 * 2 * 2, 3 * 2 * 2)  # by two rounds of two texts; by two principles in two orders


def test_an_on_policy_run_asks_no_more(project):
    given = {"source": str(project / "p.jsonl"), "model": "lab:policy", "out": project / "o"}
    small = {"batch_size": 2, "samples": 3, "max_tokens": 12, "steps": 3, "eval_prompts": 2, "eval_every": 2}
    config = configure(Grpo, **given, **small, **asked(project, "score"))
    cost = on_policy_cost(config)
    assert cost.texts == 3 * 2 * 3 + 2 * 2 * 2
    run_rl(config)
    with sqlite3.connect(project / "s.sqlite") as store:
        (answers,) = store.execute("SELECT count(*) FROM answers").fetchone()
    assert 0.5 * cost.calls <= answers <= cost.calls  # by how often the drawn prompts are about fire
    assert on_policy_cost(replace(config, refill=1)).texts == cost.texts + 3 * 2 * 3


def test_a_critic_has_to_be_named(project):
    given = {"source": str(project / "p.jsonl"), "model": "lab:policy", "out": project / "o"}
    with pytest.raises(UsageError, match="--critic is missing"):
        on_policy_cost(configure(Grpo, **given, constitution=project / "c.yaml"))
