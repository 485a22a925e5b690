"""``rlaif evaluate ranking`` from the outside."""

import json


def test_models_are_ranked(files, tmp_path, rlaif):
    responses = [
        {"text": f"{word} {{}}", "model": name} for word, name in (("good", "strong"), ("bad", "weak"), ("poor", "idle"))
    ]
    rows = [{"prompt": "q", "responses": [{**one, "text": one["text"].format(at)} for one in responses]} for at in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    rlaif("label", "rows.jsonl", "--constitution", "c.yaml", "--critic", "script:s.yaml", "--out", "run")
    code, out, _ = rlaif("evaluate", "ranking", "run")
    assert code == 0 and [line.split()[:2] for line in out.splitlines() if "[" in line] == [
        ["1", "strong"], ["2", "weak"], ["2", "idle"],
    ]  # fmt: skip
    code, _, err = rlaif("evaluate", "ranking", "run", "--by", "family")
    assert code == 2 and "chosen_family" in err
