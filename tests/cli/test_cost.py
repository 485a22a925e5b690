"""``--dry-run`` of the commands that draw texts or ask a critic: what it would cost, and nothing done."""

import pytest

from rlaif.cli.cost import print_cost
from rlaif.cost import Cost

CONSTITUTION = (
    "{name: c, version: 1, principles: [{id: kind, text: It is kind., examples: [{prompt: a, better: b, worse: c}]}]}"
)
DRY = {
    "sample": (("sample", "p.jsonl"), "2 prompts (1 unusable) · 8 texts to draw, at most 2,048 tokens"),
    "revise": (
        ("revise", "r.jsonl", "CRITIC"),
        "1 prompts · 4 texts to draw, at most 2,048 tokens · at most 4 calls of the critic",
    ),
    "rounds": (("train", "dpo", "p.jsonl", "CRITIC", "--rounds", "1", "--samples", "3"), "at most 12 calls of the critic"),
    "best-of-n": (("train", "best-of-n", "p.jsonl", "CRITIC", "--samples", "3"), "at most 6 calls of the critic"),
    "ppo": (("train", "ppo", "p.jsonl", "CRITIC", "--steps", "1", "--batch-size", "4"), "at most 6 calls of the critic"),
    "test": (("constitution", "test", "c.yaml", "CRITIC"), "1 prompts · at most 2 calls of the critic"),
}


@pytest.mark.parametrize("name", DRY)
def test_it_says_what_it_would_cost_and_does_nothing(name, rlaif, tmp_path):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n{}\n')
    (tmp_path / "r.jsonl").write_text('{"prompt": "a", "responses": ["x", "y"]}\n')
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    given, expected = DRY[name]
    critic = ["--critic", "http://127.0.0.1:9/v1"]  # nobody answers there
    arguments = [word for each in given for word in (critic if each == "CRITIC" else [each])]
    if name != "test":
        arguments += ["--out", "out/s.jsonl" if name == "sample" else "out"]
        arguments += ["--constitution", "c.yaml"] if "CRITIC" in given else []
    if name not in ("revise", "test"):
        arguments += ["--model", "nowhere"]
    code, out, err = rlaif(*arguments, "--dry-run")
    assert (code, expected in out) == (0, True), (out, err)
    assert "the same command without --dry-run" in err
    assert not (tmp_path / "out").exists() and not (tmp_path / "runs").exists()


def test_training_on_rows_costs_nothing_to_count(rlaif):
    code, _, err = rlaif("train", "dpo", "p.jsonl", "--model", "m", "--out", "out", "--dry-run")
    assert code == 2 and "give --rounds too" in err


def test_what_costs_nothing_is_not_shown(capsys):
    print_cost(Cost(prompts=1200, unusable=0, texts=0, tokens=0, calls=0))
    assert capsys.readouterr().out == "1,200 prompts\n"
