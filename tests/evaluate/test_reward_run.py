"""A real reward model of random weights, held against preferences that are its own."""

import json

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from rlaif.errors import UsageError
from rlaif.evaluate.config import RewardModelConfig
from rlaif.evaluate.reward_run import check_reward_model
from rlaif.settings import configure
from tests.tiny import save_model

PROMPTS = [f"question number {number}" for number in range(12)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_model(tmp_path_factory.mktemp("reward") / "model")
    torch.manual_seed(1)
    reward = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    reward.config.rlaif_reward = {"context": 64, "mean": [0.1], "std": [0.5]}
    reward.save_pretrained(folder)
    return folder


def evaluated(model, tmp_path, rows, **settings):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"model": str(model), "source": str(tmp_path / "rows.jsonl"), "out": tmp_path / "run"}
    return check_reward_model(configure(RewardModelConfig, **given, **settings))


def scores(tmp_path):
    return [json.loads(line) for line in (tmp_path / "run" / "scores.jsonl").read_text().splitlines()]


def test_a_model_agrees_with_preferences_that_are_its_own(model, tmp_path):
    rows = [{"prompt": prompt, "responses": ["one answer", "a second answer, longer"]} for prompt in PROMPTS]
    with pytest.raises(UsageError, match="no row has two scored responses of which one is known to be better"):
        evaluated(model, tmp_path, rows)
    rated = [
        {**row, "responses": [{"text": text, "gold": {"overall": len(text)}} for text in row["responses"]]} for row in rows
    ]
    evaluated(model, tmp_path, rated)
    found = {(one["row"], one["index"]): one["score"] for one in scores(tmp_path)}
    own = [
        {"prompt": prompt, "chosen": texts[best], "rejected": texts[1 - best], "category": "ab"[at % 2]}
        for at, prompt in enumerate(PROMPTS)
        for texts in [rows[at]["responses"]]
        for best in [int(found[at + 1, 1] > found[at + 1, 0])]
    ]
    lines = {line.name: line for line in evaluated(model, tmp_path, own, overwrite=True).rows}
    assert list(lines) == ["a", "b", "all"]
    assert lines["all"].accuracy.value == 1 and (lines["a"].pairs, lines["all"].pairs) == (6, 12)
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["status"] == "finished" and run["figures"][-1]["accuracy"]["value"] == 1 and run["by"] == "category"


def test_what_cannot_be_scored_is_listed_and_left_out(model, tmp_path):
    rows = [
        {"prompt": "hi", "chosen": "yes", "rejected": "no"},
        {"prompt": "word " * 400, "chosen": "yes", "rejected": "no"},
        {"prompt": "hi", "chosen": "yes"},
    ]
    (line,) = evaluated(model, tmp_path, rows).rows
    reasons = [json.loads(each)["reason"] for each in (tmp_path / "run" / "failures.jsonl").read_text().splitlines()]
    assert line.pairs in (1, 2) and reasons.count("bad_row") == 1 and len(scores(tmp_path)) + reasons.count("too_long") == 4


def test_turns_after_the_prompt_are_part_of_it(model, tmp_path):
    talk = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "more"}]
    rows = [{"prompt": talk, "chosen": "yes", "rejected": "no"}]
    whole = [{"prompt": "q", "chosen": [*talk[1:], {"role": "assistant", "content": "yes"}], "rejected": "no"}]
    evaluated(model, tmp_path, rows)
    first = scores(tmp_path)[0]["score"]
    evaluated(model, tmp_path, whole, overwrite=True)
    assert scores(tmp_path)[0]["score"] == pytest.approx(first, abs=1e-5)


def test_benchmarks_are_read_as_they_are(model, tmp_path):
    rows = [
        {"id": "1", "prompt": "q", "chosen": ["a"], "rejected": ["b", "c", "d"], "num_correct": 1, "subset": "Math"},
        {"id": "ref:1", "prompt": "q", "chosen": ["a"], "rejected": ["b"], "num_correct": 1, "subset": "Ties"},
        {"id": "tied:1", "prompt": "q", "chosen": ["a", "x"], "rejected": ["b"], "num_correct": 2, "subset": "Ties"},
    ]
    lines = {line.name: line for line in evaluated(model, tmp_path, rows).rows}
    assert list(lines) == ["Math", "Ties", "all"]
    assert (lines["Math"].pairs, lines["Ties"].pairs, lines["all"].pairs) == (3, 0, 3)
    assert lines["all"].best_of.value == pytest.approx((lines["Math"].best_of.value + lines["Ties"].best_of.value) / 2)
