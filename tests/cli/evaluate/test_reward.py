"""``rlaif evaluate reward`` from the outside."""

import json

import torch
from transformers import AutoModelForSequenceClassification

from tests.tiny import save_model


def test_figures_are_shown_and_required(rlaif, tmp_path):
    folder = save_model(tmp_path / "model")
    torch.manual_seed(1)
    AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1).save_pretrained(folder)
    rows = [{"prompt": f"q {at}", "chosen": f"yes {at}", "rejected": f"no {at}"} for at in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ("evaluate", "reward", "model", "rows.jsonl", "--out", "run")
    code, out, err = rlaif(*command, "--json", "f.json", "--require", "accuracy>=0")
    assert code == 0, err
    assert "all" in out and json.loads((tmp_path / "f.json").read_text())[0]["pairs"] == 4
    code, _, err = rlaif(*command, "--require", "accuracy>1")
    assert code == 1 and "accuracy>1 is not met" in err
    code, _, err = rlaif(*command, "--require", "agreement>0")
    assert code == 2 and "expected one of accuracy" in err
