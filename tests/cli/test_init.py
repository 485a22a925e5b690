"""What is common to all commands: how they are stopped, and what of a text they show."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.serving import heed_interrupts

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n"
ROW = {"prompt": "hi", "responses": ["a", "b"]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "s.yaml").write_text("delay: 1\nrules: [{choose: {A: 0.7, B: 0.2}, generate: word}]")
    rows = [{"prompt": f"hi {number}", "responses": ["a", "b"]} for number in range(2000)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "label rows.jsonl --constitution c.yaml --critic script:s.yaml --out run",
        "sample rows.jsonl --model script:s.yaml --out samples.jsonl",
        "revise rows.jsonl --constitution c.yaml --critic script:s.yaml --out run",
    ],
)
def test_an_interrupt_says_that_the_same_command_continues(folder, command):
    process = subprocess.Popen(
        [sys.executable, "-m", "rlaif", *command.split()],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        preexec_fn=heed_interrupts,
    )
    record = folder / ("samples.run.json" if command.startswith("sample") else "run/run.json")
    deadline = time.monotonic() + 60
    while process.poll() is None and not record.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    # Python ends by the signal itself where it came while code was made from a string, as dataclasses are: 130 in a shell too.
    assert process.returncode in (130, -signal.SIGINT), errors
    assert errors.endswith("rlaif: stopped; the same command continues\n") and "Traceback" not in errors
    assert json.loads(record.read_text())["status"] == "interrupted"


def written(folder):
    return "\n".join(
        path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file() and path.suffix != ".yaml"
    )


@pytest.mark.parametrize("password", ["secret", "se@cret", "se%40cret", "se%cret"])
def test_passwords_and_keys_are_nowhere(tmp_path, rlaif, monkeypatch, password):
    monkeypatch.setenv("RLAIF_API_KEY", "sk-0123456789")
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROW) + "\n")
    url = f"http://user:{password}@127.0.0.1:9"
    code, out, err = rlaif("label", "rows.jsonl", "--constitution", "c.yaml", "--critic", url, "--out", "run")
    assert code == 1 and "127.0.0.1:9" in err
    seen = out + err + written(tmp_path)
    assert not any(part in seen for part in (password, "cret", "user:", "sk-0123456789"))


def test_control_characters_reach_no_terminal_and_no_card(tmp_path, rlaif):
    bad = "\x1b[31m\x07\u202e"
    yaml = json.dumps(
        {"name": f"t{bad}", "version": 1, "description": bad, "principles": [{"id": "kind", "text": f"Be kind{bad}."}]}
    )
    (tmp_path / "c.yaml").write_text(yaml)
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}}]")
    rows = [{"prompt": bad, "responses": [f"a{bad}", "b"], "id": bad}, {"prompt": bad, "responses": [bad, 7]}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["rows.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml"]
    seen = []
    for command in (
        ["constitution", "check", "c.yaml"],
        ["constitution", "show", "c.yaml"],
        ["label", *given, "--out", "run", "--dry-run"],
        ["label", *given, "--out", "run"],
        ["evaluate", "agreement", "run"],
        ["label", f"no{bad}.jsonl", *given[1:], "--out", "run2"],
    ):
        seen += rlaif(*command)[1:]
    for name in ("README.md", "failures.jsonl", "metrics.jsonl", "run.json", "preferences.jsonl"):
        seen.append((tmp_path / "run" / name).read_text())
    for text in seen:
        assert not set(text) & {"\x1b", "\x07", "\u202e"}
