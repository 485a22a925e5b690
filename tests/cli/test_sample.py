"""What ``rlaif sample`` says and how it exits, whatever it is given."""

from __future__ import annotations

import json

import pytest

from tests.cli.test_startup import test_help_imports_nothing_heavy as check_help


@pytest.fixture
def run(tmp_path, rlaif):
    def call(*arguments, rows=({"prompt": "Hi"}, {"prompt": "poison"}), model="script:s.yaml"):
        (tmp_path / "s.yaml").write_text("rules: [{when: poison, fail: refused}, {generate: 'A fine day, [bold] friend.'}]")
        (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return rlaif("sample", "p.jsonl", "--model", model, "--out", "out/s.jsonl", *arguments)

    return call


def test_help_imports_nothing_heavy():
    check_help(["sample", "--help"])


def test_it_says_what_came_out_and_where(run, tmp_path):
    code, out, _ = run("--samples", "3")
    assert code == 0
    assert "1 prompts answered, 3 responses each; 1 failed" in out
    assert "out/s.jsonl" in out
    assert "out/s.failures.jsonl" in out
    (record,) = map(json.loads, (tmp_path / "out" / "s.jsonl").read_text().splitlines())
    assert record["responses"] == ["A fine day, [bold] friend."] * 3
    assert (tmp_path / "runs" / "verdicts.sqlite").is_file()


def test_what_it_writes_can_be_labelled(run, rlaif, tmp_path):
    assert run("--samples", "2", "--temperature", "0.7", "--top-p", "0.9", "--seed", "3")[0] == 0
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: polite, text: The response is polite.}]}")
    (tmp_path / "j.yaml").write_text("rules: [{choose: {A: 0.6, B: 0.3}}]")
    code, *_ = rlaif("label", "out/s.jsonl", "--constitution", "c.yaml", "--critic", "script:j.yaml", "--out", "run")
    assert code == 0


@pytest.mark.parametrize(
    ("options", "arguments", "said"),
    [
        ({"rows": []}, [], "p.jsonl"),
        ({"model": "lab:nobody"}, [], "the lab has no such model"),
        ({"model": "./nowhere"}, [], "no such folder"),
        ({}, ["--out", "s.csv"], ".jsonl"),
        ({}, ["--samples", "0"], "--samples"),
        ({}, ["--top-p", "0"], "--top-p"),
        ({}, ["--temperature", "-1"], "--temperature"),
        ({"model": "lab:policy"}, ["--max-tokens", "5000"], "leaves no room"),
    ],
)
def test_bad_input_is_one_message(run, options, arguments, said):
    code, out, err = run(*arguments, **options)
    assert code == 2
    assert said in err
    assert "Traceback" not in out + err


def test_nothing_answered_is_a_failed_run(run):
    code, _, err = run(rows=[{"prompt": "poison"}])
    assert code == 1
    assert "none of the 1 rows has a response: 100% of rows: the policy gave no response: refused" in err
