"""No pipe and no device is read, whichever flag names it."""

import json
import os

import pytest

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n"


@pytest.fixture
def folder(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe.yaml", "pipe.jsonl", "compare.yaml"):
        (tmp_path / name).symlink_to("pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}}]")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"prompt": "hi", "responses": ["a", "b"]}) + "\n")
    return tmp_path


LABEL = {"source": "rows.jsonl", "--constitution": "c.yaml", "--critic": "script:s.yaml", "--out": "run"}


@pytest.mark.parametrize(
    "given",
    [
        *({name: f"{before}{file}"} for file in ("pipe", "zero") for name, before in (("source", ""), ("--constitution", ""))),
        {"source": "pipe.jsonl"},
        {"--critic": "script:pipe"},
        {"--critic": "script:zero"},
        {"--critic": "./pipe"},
        {"--store": "pipe"},
        {"--prompts": "."},
        {"--out": "pipe"},
    ],
)
def test_label(folder, rlaif, given):
    options = {**LABEL, **given}
    code, _, err = rlaif("label", options.pop("source"), *(part for pair in options.items() for part in pair))
    (name,) = given.values()
    assert code == 2 and len(err.splitlines()) <= 3 and (name.removeprefix("script:") in err or "compare.yaml" in err)


@pytest.mark.parametrize(
    "command",
    [
        "constitution import pipe --out out.yaml",
        "constitution test pipe.yaml --critic script:s.yaml",
        "evaluate agreement pipe",
        "report pipe",
        "sample pipe --model script:s.yaml --out out.jsonl",
        "train sft pipe --model lab:policy --out run",
        "train grpo rows.jsonl --model lab:policy --out run --reward pipe.yaml",
        "train grpo rows.jsonl --model lab:policy --out run --reward gold --monitor pipe.yaml",
        "train grpo rows.jsonl --model lab:policy --out run --reward verifier --verifier pipe.py:f",
    ],
)
def test_other_commands(folder, rlaif, command):
    (folder / "pipe.py").symlink_to("pipe")
    code, _, err = rlaif(*command.split())
    assert code == 2 and "pipe" in err and len(err.splitlines()) <= 3
