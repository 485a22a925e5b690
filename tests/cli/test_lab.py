"""``rlaif lab rows`` and the options of ``rlaif lab build``."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from rlaif.cli.lab import app
from rlaif.errors import UsageError
from rlaif.lab.world import rows

WEIGHTS = {"polite": 1, "correct": 1, "harmless": 2, "concise": 0.5, "evidence": 0.5, "humble": 0.5, "helpful": 1}


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_the_world_s(tmp_path):
    out = tmp_path / "deep" / "rows.jsonl"
    assert run("rows", "--out", out, "--n", 5, "--seed", 3, "--split", "train", "--samples", 4).exit_code == 0
    assert read(out) == list(rows(5, 3, "train", 4))
    assert not list(out.parent.glob("*.part"))


def test_prompts_only(tmp_path):
    out = tmp_path / "prompts.jsonl"
    assert run("rows", "--out", out, "--n", 5, "--prompts-only").exit_code == 0
    assert [set(row) for row in read(out)] == [{"id", "prompt", "tags"}] * 5


def test_rows_from_the_policy_are_scored(tmp_path):
    out = tmp_path / "policy.jsonl"
    assert run("rows", "--out", out, "--n", 4, "--from", "policy", "--samples", 3).exit_code == 0
    written = read(out)
    assert [row["prompt"] for row in written] == [row["prompt"] for row in rows(4)]
    assert all(len(row["responses"]) == 3 and row["responses"][0]["gold"] for row in written)


@pytest.mark.parametrize("arguments", [("rows",), ("rows", "--out", "x", "--split", "test"), ("build", "--only", "judge")])
def test_bad_usage(arguments):
    assert run(*arguments).exit_code == 2


def test_gold_of_models_side_by_side(tmp_path):
    shown = run("gold", "lab:policy", "lab:policy", "--n", 4)
    assert shown.exit_code == 0
    lines = [line.split("│")[1:-1] for line in shown.output.splitlines() if "│" in line]
    assert all(first == second for _, first, second in lines)  # the same prompts and the same luck
    assert [line[0].strip() for line in lines] == [*WEIGHTS, "total, by weight"]
    means = {name.strip(): float(first) for name, first, _ in lines}
    out = tmp_path / "rows.jsonl"
    run("rows", "--out", out, "--n", 4, "--seed", 1000, "--from", "policy", "--samples", 1)
    replies = [row["responses"][0]["gold"] for row in read(out)]
    for name in WEIGHTS:
        assert means[name] == pytest.approx(sum(gold[name] for gold in replies) / 4, abs=6e-4)
    total = sum(weight * means[name] for name, weight in WEIGHTS.items()) / 6.5
    assert means["total, by weight"] == pytest.approx(total, abs=1e-3)


def test_gold_by_a_constitution_of_other_principles(tmp_path):
    other = tmp_path / "other.yaml"
    other.write_text("name: other\nversion: 1\nprinciples:\n  - id: rhymes\n    text: The response rhymes.\n")
    found = run("gold", "lab:policy", "--constitution", other).exception
    assert isinstance(found, UsageError)
    assert str(other) in str(found)
