"""``rlaif lab rows`` and the options of ``rlaif lab build``."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from rlaif.cli.lab import app
from rlaif.lab.world import rows


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_are_the_world_s(tmp_path):
    out = tmp_path / "deep" / "rows.jsonl"
    assert run("rows", "--out", out, "--n", 5, "--seed", 3, "--split", "train", "--responses", 4).exit_code == 0
    assert read(out) == list(rows(5, 3, "train", 4))
    assert not list(out.parent.glob("*.part"))


def test_prompts_only(tmp_path):
    out = tmp_path / "prompts.jsonl"
    assert run("rows", "--out", out, "--n", 5, "--prompts-only").exit_code == 0
    assert [set(row) for row in read(out)] == [{"id", "prompt", "tags"}] * 5


def test_rows_from_the_policy_are_scored(tmp_path):
    out = tmp_path / "policy.jsonl"
    assert run("rows", "--out", out, "--n", 4, "--from", "policy", "--responses", 3).exit_code == 0
    written = read(out)
    assert [row["prompt"] for row in written] == [row["prompt"] for row in rows(4)]
    assert all(len(row["responses"]) == 3 and row["responses"][0]["gold"] for row in written)


@pytest.mark.parametrize("arguments", [("rows",), ("rows", "--out", "x", "--split", "test"), ("build", "--only", "judge")])
def test_bad_usage(arguments):
    assert run(*arguments).exit_code == 2
