"""``rlaif evaluate ladder`` from the outside."""

import json


def test_ratings_are_printed_written_and_required(files, tmp_path, rlaif):
    for word in ("good", "bad", "poor"):
        rows = [{"prompt": f"q{at}", "responses": [f"{word} {at}"]} for at in range(20)]
        (tmp_path / f"{word}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judge = ("--constitution", "c.yaml", "--critic", "script:s.yaml")
    command = ("evaluate", "ladder", "good.jsonl", "dull=bad.jsonl", "poor.jsonl", *judge, "--out", "r", "--budget", "30")
    code, out, err = rlaif(*command, "--dry-run")
    assert code == 0 and "at most 60 calls of the critic" in out and not (tmp_path / "r").exists(), err
    code, out, err = rlaif(*command, "--json", "r.json", "--require", "good.jsonl.low>1000")
    assert code == 0, err
    assert next(line.split()[:2] for line in out.splitlines() if "[" in line) == ["1", "good.jsonl"]
    assert "30 comparisons of 60, on 20 prompts" in out
    assert {row["name"] for row in json.loads((tmp_path / "r.json").read_text())} == {"good.jsonl", "dull", "poor.jsonl"}
    code, _, err = rlaif(*command, "--require", "dull>1000")
    assert code == 1 and "dull>1000 is not met" in err
    code, out, err = rlaif("evaluate", "ranking", "r")
    assert code == 0 and next(line.split()[:2] for line in out.splitlines() if "[" in line) == ["1", "good.jsonl"]
    code, _, err = rlaif(*command, "--require", "bad.jsonl>1000")
    assert code == 2 and "expected one of good.jsonl, dull, poor.jsonl" in err
