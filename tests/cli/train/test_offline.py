"""What ``rlaif train`` says and how it exits, whatever it is given."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_startup import test_help_imports_nothing_heavy as check_help
from tests.events import events

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


@pytest.mark.parametrize("arguments", [["train", "--help"], ["train", "dpo", "--help"], ["train", "best-of-n", "--help"]])
def test_help_imports_nothing_heavy(arguments):
    check_help(arguments)


def test_help_shows_what_the_method_has_and_its_own_defaults(rlaif, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    shown = {method: rlaif("train", method, "--help")[1] for method in ("sft", "dpo", "simpo", "reward", "best-of-n")}
    has = {
        flag: {method for method, text in shown.items() if f"{flag} " in text} for flag in ("--beta", "--rounds", "--samples")
    }
    assert has == {
        "--beta": {"dpo", "simpo"},
        "--rounds": {"dpo", "simpo", "best-of-n"},
        "--samples": {"dpo", "simpo", "best-of-n"},
    }
    defaults = [next(line for line in shown[method].splitlines() if "--beta" in line) for method in ("dpo", "simpo")]
    assert ["0.1" in defaults[0], "2.0" in defaults[1]] == [True, True]


def test_rounds_and_best_of_n_say_where_everything_is(rlaif, tmp_path):
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: polite, text: The response is polite.}]}")
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"prompt": f"What is {n}?"}) + "\n" for n in range(2)))
    judge = "--critic", "lab", "--constitution", "c.yaml", "--max-tokens", "12", "--max-steps", "1", "--batch-size", "2"
    code, out, _ = rlaif("train", "dpo", "p.jsonl", "--model", "lab:policy", "--out", "a", "--rounds", "2", *judge)
    assert code == 0
    for part in ("round 1", "round 2", "1 prompts sampled", "a/round-2/label", "a/model", "margin"):
        assert part in out
    code, out, _ = rlaif("train", "best-of-n", "p.jsonl", "--model", "a", "--out", "b", "--samples", "4", *judge)
    assert code == 0
    for part in ("the best of 4 is at most 0.636 nats", "best_score", "mean_score", "b/label/sft.jsonl", "b/model"):
        assert part in out
    found = json.loads((tmp_path / "b" / "run.json").read_text())
    assert (found["kind"], found["method"], found["status"]) == ("rounds", "best-of-n", "finished")
    assert found["base"] == json.loads((tmp_path / "b" / "train" / "run.json").read_text())["base"]


def test_a_good_run_says_where_everything_is(run, tmp_path):
    code, out, _ = run("--max-steps", "2", "--eval-fraction", "0.25", "--track", "tensorboard")
    assert code == 0
    for name in ("run/model", "run/metrics.jsonl", "run/failures.jsonl", "eval_loss"):
        assert name in out
    found = json.loads((tmp_path / "run" / "run.json").read_text())
    assert found["kind"] == "train"
    assert found["command"].startswith("rlaif train dpo rows.jsonl --model lab:policy")
    assert found["command"] in (tmp_path / "run" / "model" / "README.md").read_text()
    assert events(tmp_path / "run")["eval_loss"].keys() == {1, 2}


def test_an_ensemble_and_its_normalisation_are_flags(run, tmp_path):
    code, _, _ = run("--max-steps", "1", "--members", "2", "--normalise", "rows.jsonl", method="reward")
    assert code == 0
    assert len(json.loads((tmp_path / "run/model/config.json").read_text())["rlaif_reward"]["mean"]) == 2


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
        ({}, ["--gamma", "1"], "No such option: --gamma"),
        ({}, ["--context", "4096"], "has 1024 positions"),
        ({}, ["--eval-fraction", "1.5"], "--eval-fraction"),
        ({}, ["--micro-batch", "3"], "multiple"),
        ({}, ["--track", "wandb"], "not installed"),
        ({"method": "dpoo"}, [], "No such command 'dpoo'"),
        ({}, ["--critic", "lab"], "--critic: it is for training on the model's own samples; give --rounds too"),
        ({}, ["--samples", "2"], "--samples: it is for training on the model's own samples"),
        ({}, ["--rounds", "2"], "give --critic and --constitution"),
        ({}, ["--rounds", "2", "--critic", "lab"], "give --critic and --constitution"),
        ({}, ["--rounds", "2", "--critic", "lab", "--constitution", "nowhere.yaml"], "nowhere.yaml"),
        ({"method": "sft"}, ["--rounds", "2"], "No such option: --rounds"),
        ({"method": "reward"}, ["--critic", "lab"], "No such option: --critic"),
        ({"method": "best-of-n"}, ["--labels", "hard"], "No such option: --labels"),
        ({"method": "best-of-n"}, ["--samples", "1"], "--samples"),
        ({"method": "best-of-n"}, ["--critic", "lab", "--reward-model", "x"], "one or the other"),
    ],
)
def test_bad_input_is_one_message(run, monkeypatch, options, arguments, said):
    monkeypatch.setattr("rlaif.tracking.find_spec", lambda name: None)
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
