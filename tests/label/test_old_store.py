"""A store that an earlier version wrote still answers: nothing in it is asked again, and the same files come of it.

``tests/data/store`` was written by the code of November 2026, before stores had a version.
"""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

OLD = Path(__file__).parents[1] / "data" / "store"

RUNS = {
    "compare": "label rows.jsonl --critic lab --limit 2",
    "jury": "label rows.jsonl --critic lab --critic lab:fallible --limit 1 --orders ab",
    "score": "label rows.jsonl --critic lab --mode score --limit 2",
    "rank": "label rows.jsonl --critic script:rules.yaml --mode rank",
    "reasons": "label rows.jsonl --critic script:rules.yaml --reasons --votes 2 --clamp .4 .6 --limit 2",
    "shots": "label rows.jsonl --critic script:rules.yaml --shots 1 --canaries 3 --limit 2",
    "policy": "label prompts.jsonl --critic lab --policy lab:policy --samples 2 --max-tokens 32",
    "revise": "revise rows.jsonl --critic lab --limit 2 --max-tokens 96",
}


def records(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rows(store):
    with sqlite3.connect(store) as opened:
        return opened.execute("SELECT COUNT(*) FROM answers").fetchone()[0]


@pytest.mark.parametrize("name", RUNS)
def test_an_old_store_answers_everything(name, tmp_path, rlaif):
    for entry in OLD.iterdir():
        if entry.is_file():
            shutil.copy(entry, tmp_path)
    shutil.copytree(OLD / "prompts", tmp_path / "prompts")
    held = rows(tmp_path / "verdicts.sqlite")
    given = "--constitution constitution.yaml --prompts prompts --store verdicts.sqlite --out run"
    code, _, errors = rlaif(*RUNS[name].split(), *given.split())
    assert code == 0, errors
    assert json.loads((tmp_path / "run" / "run.json").read_text())["counts"]["asked"] == 0
    assert rows(tmp_path / "verdicts.sqlite") == held  # of any kind: rationales, samples and revisions too
    found = records(tmp_path / "run" / "preferences.jsonl")
    for record in found:  # columns that are new since
        for side in ("chosen", "rejected"):
            assert record.pop(f"{side}_finish", "stop") in ("stop", "length")
    assert found == records(OLD / "expected" / f"{name}.jsonl")
    for more in ("scores", "canaries"):
        expected = OLD / "expected" / f"{name}-{more}.jsonl"
        if expected.is_file():
            assert records(tmp_path / "run" / f"{more}.jsonl") == records(expected)
