"""What ``rlaif train`` says and how it exits, whatever it is given."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_startup import test_help_imports_nothing_heavy as check_help

GOOD = [{"prompt": f"What is {n}?", "chosen": "A number, friend.", "rejected": "Go away.", "p_chosen": 0.9} for n in range(4)]


@pytest.fixture
def run(tmp_path, rlaif):
    """Run ``rlaif train`` in a folder of its own; returns (exit code, stdout, stderr)."""

    def call(*arguments, method="dpo", rows=GOOD, model="lab:policy"):
        source = rows if isinstance(rows, str) else "rows.jsonl"
        if not isinstance(rows, str):
            (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        given = ["train", method, source, "--model", model, "--out", "run", "--batch-size", "4", *arguments]
        return rlaif(*given)

    return call


def test_help_imports_nothing_heavy():
    check_help(["train", "--help"])


def test_a_good_run_says_where_everything_is(run, tmp_path):
    code, out, _ = run("--max-steps", "2", "--eval-fraction", "0.25", "--report-to", "tensorboard")
    assert code == 0
    for name in ("run/model", "run/metrics.jsonl", "run/failures.jsonl", "eval_loss"):
        assert name in out
    found = json.loads((tmp_path / "run" / "run.json").read_text())
    assert found["kind"] == "train"
    assert found["command"].startswith("rlaif train dpo rows.jsonl --model lab:policy")
    assert found["command"] in (tmp_path / "run" / "model" / "README.md").read_text()
    assert any((tmp_path / "run" / "tensorboard").iterdir())


def test_doing_it_again_changes_nothing(run, tmp_path):
    assert run("--max-steps", "1")[0] == 0
    before = (tmp_path / "run" / "run.json").read_text()
    assert run("--max-steps", "1")[0] == 0
    assert (tmp_path / "run" / "run.json").read_text() == before


@pytest.mark.parametrize(
    ("options", "arguments", "said"),
    [
        ({"rows": "nowhere.jsonl"}, [], "no such file"),
        ({"rows": []}, [], "the file is empty"),
        ({"rows": [{**GOOD[0], "p_chosen": 2}]}, [], "no row that dpo can use"),
        ({"rows": [{"prompt": "hi"}]}, [], "no row that dpo can use"),
        ({"rows": [{**row, "p_chosen": 0.5} for row in GOOD]}, [], "exact tie"),
        ({"method": "kto", "rows": [{"prompt": "a", "completion": "b", "label": True}]}, [], "every completion is desirable"),
        ({"model": "lab:nobody"}, [], "the lab has no such model"),
        ({"model": "./nowhere"}, [], "no such folder"),
        ({}, ["--gamma", "1"], "--gamma: dpo has no such setting"),
        ({}, ["--context", "4096"], "has 1024 positions"),
        ({}, ["--eval-fraction", "1.5"], "--eval-fraction"),
        ({}, ["--micro-batch", "3"], "multiple"),
        ({}, ["--report-to", "wandb"], "not installed"),
        ({"method": "grpo"}, [], "grpo"),
    ],
)
def test_bad_input_is_one_message(run, monkeypatch, options, arguments, said):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, err = run(*arguments, **options)
    assert code == 2
    assert said in err
    assert "Traceback" not in out + err


def test_a_prompt_longer_than_the_context_is_listed(run, tmp_path):
    code, *_ = run("--context", "32", "--max-steps", "1", rows=[*GOOD, {**GOOD[0], "id": "long", "prompt": "why " * 100}])
    assert code == 0
    (failure,) = map(json.loads, (tmp_path / "run" / "failures.jsonl").read_text().splitlines())
    assert (failure["row"], failure["id"], failure["reason"]) == (5, "long", "too_long")


def test_numbers_that_are_lost_are_one_message_too(run, tmp_path, monkeypatch):
    from rlaif.train.loop import FeedbackTrainer

    whole = FeedbackTrainer.compute_loss
    monkeypatch.setattr(FeedbackTrainer, "compute_loss", lambda *given, **options: whole(*given, **options) * float("nan"))
    code, _, err = run("--max-steps", "2")
    assert code == 1
    assert "the loss is nan at step 1" in err
    assert "Traceback" not in err
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "failed"
