"""Critic, policy and training on SmolLM2-135M-Instruct, as a user runs them. A few minutes on two cores."""

import json
import math

import pytest

from tests.real.models import UnavailableError, fetch

pytestmark = pytest.mark.real

CONSTITUTION = """
name: real
version: 1
principles:
  - id: helpful
    text: The response answers the question.
    examples:
      - {prompt: What is 2 plus 2?, better: 2 plus 2 is 4., worse: I like the sea.}
      - {prompt: Name a colour., better: Blue is a colour., worse: I will not say.}
"""
QUESTIONS = [
    ("What is the capital of Italy?", "The capital of Italy is Rome.", "I like turtles."),
    ("What do bees make?", "Bees make honey.", "Go away."),
    ("How many days has a week?", "A week has seven days.", "Blue."),
    ("What is ice?", "Ice is frozen water.", "Ice is a kind of dog that sings."),
]


@pytest.fixture(scope="session")
def model():
    try:
        return str(fetch())
    except UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def project(tmp_path, rlaif):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    rows = [{"prompt": prompt, "chosen": good, "rejected": bad} for prompt, good, bad in QUESTIONS]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": row["prompt"]}) + "\n" for row in rows))

    def call(*arguments, code=0):
        given, out, err = rlaif(*map(str, arguments))
        assert given == code, err
        return out

    call.path = tmp_path
    return call


def masses(project, run):
    lines = (project.path / run / "preferences.jsonl").read_text().splitlines()
    return [verdict["mass"] for line in lines for verdict in json.loads(line)["principles"]]


def test_the_critic_labels_and_an_answer_that_is_begun_holds_more_of_the_labels(model, project, request):
    shared = ("--constitution", "c.yaml", "--critic", model, "--store", "v.sqlite", "--min-mass", "0", "--critic-context", 1024)
    project("label", "rows.jsonl", *shared, "--out", "plain")
    shipped = (request.config.rootpath / "prompts" / "compare.yaml").read_text()
    (project.path / "prompts").mkdir()
    (project.path / "prompts" / "compare.yaml").write_text(f'{shipped}\nanswer: "Answer:"\n')
    project("label", "rows.jsonl", *shared, "--prompts", "prompts", "--out", "begun")
    plain, begun = masses(project, "plain"), masses(project, "begun")
    assert len(plain) == len(begun) == len(QUESTIONS)
    assert sum(begun) > 1.5 * sum(plain)


def test_the_critic_thinks_within_its_budget(model, project):
    shared = ("--constitution", "c.yaml", "--critic", model, "--store", "v.sqlite", "--min-mass", "0", "--critic-context", 1024)
    project("label", "rows.jsonl", *shared, "--thinking", 12, "--limit", 2, "--out", "thinking")
    lines = [json.loads(line) for line in (project.path / "thinking" / "preferences.jsonl").read_text().splitlines()]
    assert len(lines) == 2 and all(line["rationale"] for line in lines)


def test_the_check_finds_that_position_decides(model, project):
    shared = ("--constitution", "c.yaml", "--store", "v.sqlite", "--critic-context", 1024, "--min-mass", 0)
    out = project("critic", "check", model, *shared, "--rows", 1000, code=1)
    assert "Position decides" in out and "1,000 pairs: 2,000 questions" in out


def test_the_policy_answers_and_learns(model, project):
    project("sample", "prompts.jsonl", "--policy", model, "--samples", 1, "--max-tokens", 12, "--out", "sampled.jsonl")
    sampled = [json.loads(line) for line in (project.path / "sampled.jsonl").read_text().splitlines()]
    assert "Rome" in json.dumps(sampled[0]["responses"])
    shared = ("--model", model, "--lora", 4, "--batch-size", 2, "--max-length", 128)
    project("train", "dpo", "rows.jsonl", *shared, "--steps", 2, "--out", "dpo")
    metrics = [json.loads(line) for line in (project.path / "dpo" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in metrics if "loss" in line]
    assert losses and all(math.isfinite(loss) for loss in losses)
