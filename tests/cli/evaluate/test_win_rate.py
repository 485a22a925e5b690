"""``rlaif evaluate win-rate`` from the outside."""

import json

import pytest


def test_a_win_rate_is_printed_written_and_required(files, tmp_path, rlaif):
    for name, word in (("a", "good"), ("b", "bad")):
        rows = [{"prompt": f"q{number}", "responses": [f"{word} {number}"]} for number in range(12)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judge = ("--constitution", "c.yaml", "--critic", "script:s.yaml")
    command = ("evaluate", "win-rate", "a.jsonl", "b.jsonl", *judge, "--out", "r")
    code, out, err = rlaif(*command, "--json", "r.json", "--require", "win-rate.low>0.6")
    assert code == 0, err
    shown = [line.split()[:2] for line in out.splitlines() if "%" in line]
    assert shown == [["overall", "70.0%"], ["right", "70.0%"]]
    overall = json.loads((tmp_path / "r.json").read_text())[0]
    assert overall["name"] == "overall" and overall["share"]["value"] == pytest.approx(0.7) and overall["wins"] == 12
    assert json.loads((tmp_path / "r" / "figures.json").read_text())[1]["name"] == "right"
    code, _, err = rlaif(*command, "--require", "win-rate/right>75%")
    assert code == 1 and "win-rate/right>0.75 is not met: 70.0%" in err
    code, _, err = rlaif(*command, "--require", "wins>0.5")
    assert code == 2 and "expected one of win-rate, equal-length" in err
    gold = [{"prompt": f"q{n}", "chosen": f"{'bad' if n % 2 else 'good'} {n}", "rejected": f"{'good' if n % 2 else 'bad'} {n}"}
            for n in range(12)]  # fmt: skip
    (tmp_path / "gold.jsonl").write_text("".join(json.dumps(row) + "\n" for row in gold))
    code, out, _ = rlaif(*command, "--gold", "gold.jsonl")
    assert code == 0 and "corrected" in out and "by the labels of 12 of them, from 20 on" in out
    code, out, _ = rlaif(*command, "--dry-run")
    assert code == 0 and "12 prompts · at most 24 calls of the critic" in out
