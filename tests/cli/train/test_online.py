import json
from pathlib import Path

import pytest

from rlaif.rl.methods import METHODS

CONSTITUTION = Path(__file__).parents[3] / "constitutions/lab.yaml"


def test_a_method_has_its_own_flags_and_no_others(rlaif, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    flags = {}
    for method in METHODS:
        code, out, _ = rlaif("train", method, "--help")
        assert code == 0
        flags[method] = {word.strip("│ ") for line in out.splitlines() for word in line.split() if word.startswith("--")}
    assert flags["ppo"] == flags["reinforce"]
    assert flags["ppo"] - flags["rloo"] == {
        *("--gamma", "--lam", "--value-model", "--value-rate", "--value-clip", "--value-warmup"),
        *("--whiten-rewards", "--no-whiten-rewards", "--whiten-advantages", "--no-whiten-advantages"),
    }
    assert flags["grpo"] - flags["rloo"] == {"--std", "--no-std", "--std-of"}
    assert {"--reward", "--critic", "--constitution", "--verifier", "--async", "--second"} <= flags["rloo"]


def test_training_on_the_critics_word(rlaif, tmp_path):
    assert rlaif("lab", "rows", "--out", "prompts.jsonl", "--n", "12", "--prompts-only")[0] == 0
    options = ["--steps", "2", "--batch-size", "2", "--samples", "2", "--max-tokens", "8", "--eval-prompts", "2"]
    options += ["--async", "1"]
    critic = ["--critic", "lab", "--constitution", str(CONSTITUTION), "--second", "gold"]
    run = ["train", "rloo", "prompts.jsonl", "--model", "lab:policy", "--out", "run", *critic, *options]
    code, out, _ = rlaif(*run)
    assert code == 0 and "heldout second reward" in out and "run/model" in out and "monitor_" not in out
    metrics = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in metrics] == [0, 1, 2]
    assert -1 <= metrics[1]["reward"] <= 1 and "reward/principles/harmless" in metrics[1] and metrics[1]["failed"] == 0.0
    assert rlaif(*run)[0] == 0  # finished: left as it is
    code, _, error = rlaif(*run, "--beta", "1")
    assert code == 2 and "beta 0.03, not 1.0" in error


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--reward", "critic"], "needs --critic"),
        (["--reward", "model"], "needs --reward-model"),
        (["--reward", "other"], "--reward other"),
        (["--temperature", "0"], "--temperature 0"),
        (["--kl-in", "loss"], "--kl-in loss"),
    ],
)
def test_what_cannot_be_done_is_told_by_flag(rlaif, flags, message):
    rlaif("lab", "rows", "--out", "prompts.jsonl", "--n", "80", "--prompts-only")
    code, _, error = rlaif("train", "rloo", "prompts.jsonl", "--model", "lab:policy", "--out", "run", *flags)
    assert code == 2 and message in error and "Traceback" not in error
