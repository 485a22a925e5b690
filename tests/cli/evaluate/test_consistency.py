"""``rlaif evaluate consistency`` from the outside."""

import json


def test_figures_are_printed_written_and_required(tmp_path, rlaif):
    (tmp_path / "p.yaml").write_text('rules:\n  - {when: "hue", generate: "blue"}\n  - {generate: "red"}\n')
    rows = [{"prompt": f"Which colour {at}?", "rewordings": [f"What hue {at}?", f"Color {at}?"]} for at in range(3)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("evaluate", "consistency", "script:p.yaml", "rows.jsonl", "--out", "run")
    code, out, _ = rlaif(*command, "--dry-run")
    assert code == 0 and "3 prompts · 18 texts to draw, at most 4,608 tokens" in out and not (tmp_path / "run").exists()
    code, out, err = rlaif(*command, "--json", "f.json", "--require", "resampled>0.9")
    assert code == 0, err
    assert "33.3%" in out and json.loads((tmp_path / "f.json").read_text())[0]["prompts"] == 3
    code, _, err = rlaif(*command, "--require", "reworded>0.5")
    assert code == 1 and "reworded>0.5 is not met: 33.3%" in err
