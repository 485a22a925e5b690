"""Best-of-n keeps what its judge likes best, says how far that can move the policy, and makes no score up."""

from __future__ import annotations

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from rlaif.engines.open import lab_model
from rlaif.errors import RunFailed
from rlaif.settings import configure
from rlaif.train import best_of_n
from rlaif.train.best_of_n import kl_bound, run_best_of_n
from rlaif.train.feedback import best_of_n_configuration
from rlaif.train.predict import RewardModel

CONSTITUTION = """
name: c
version: 1
principles:
  - {id: polite, text: The response is polite and friendly to the reader.}
  - {id: concise, text: The response is brief and to the point., weight: 0.5}
"""
PROMPTS = ["How do I brew tea?", "How do I cook rice?", "How do I fry an egg?", "How do I read a map?"]


@pytest.mark.parametrize(
    ("n", "nats"), [(2, 0.1931), (4, 0.6363), (16, 1.8351), (64, 3.1745), (1000, 5.9088), (12500, 8.4336), (60000, 10.0021)]
)
def test_the_bound_has_the_published_values(n, nats):
    assert kl_bound(n) == pytest.approx(nats, abs=5e-5)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8), st.integers(1, 50))
def test_no_best_of_n_is_further_away_than_the_bound(weights, n):
    """The exact KL for a policy over a few outcomes, ranked in the order of the list."""
    total, below, kl = sum(weights), 0.0, 0.0
    for weight in weights:
        p, above = weight / total, below + weight / total
        q = above**n - below**n
        kl += q * math.log(q / p) if q > 0 else 0.0
        below = above
    assert kl <= kl_bound(n) + 1e-9


def test_one_sample_is_the_policy_itself():
    assert kl_bound(1) == 0.0


@pytest.fixture
def setting(tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "p.jsonl").write_text("".join(json.dumps({"id": f"p{n}", "prompt": p}) + "\n" for n, p in enumerate(PROMPTS)))

    def config(**feedback):
        train = {"source": str(tmp_path / "p.jsonl"), "model": "lab:policy", "out": tmp_path / "run", "max_steps": 2}
        asked = {"samples": 4, "max_tokens": 24, "store": tmp_path / "v.sqlite", **feedback}
        if "reward_model" not in asked:
            asked = {"critic": "lab", "constitution": tmp_path / "c.yaml", **asked}
        return configure(best_of_n_configuration(), **train, batch_size=4, **asked)

    return config


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_critics_favourites_are_what_is_trained_on(setting, tmp_path):
    run = run_best_of_n(setting())
    out = tmp_path / "run"
    samples, kept = read(out / "samples.jsonl"), read(out / "label" / "sft.jsonl")
    by_row = {}
    for record in read(out / "label" / "scores.jsonl"):
        by_row.setdefault(record["row"], {})[record["index"]] = record["score"]
    for number, (sample, best) in enumerate(zip(samples, kept, strict=True), 1):
        top = max(by_row[number].values())
        place = int(best["id"].rpartition(":")[2])
        assert by_row[number][place] == top == best["value"]
        assert best["completion"][0]["content"] == sample["responses"][place]
        assert best["prompt"] == sample["prompt"]
    metrics = run["metrics"]
    every = [score for scores in by_row.values() for score in scores.values()]
    assert metrics["mean_score"] == pytest.approx(sum(every) / 16)
    assert metrics["best_score"] == pytest.approx(sum(max(scores.values()) for scores in by_row.values()) / 4)
    assert metrics["best_score"] > metrics["mean_score"]
    assert (metrics["prompts"], metrics["unscored"]) == (4, 0)
    assert metrics["kl_bound"] == kl_bound(4)
    trained = json.loads((out / "train" / "run.json").read_text())
    assert trained["data"]["used"] == 4
    assert trained["labelled_by"]["critic"] == run["rounds"][0]["labelled_by"]["critic"]
    card = (out / "model" / "README.md").read_text()
    assert "after best-of-n" in card
    assert "kl_bound" in card
    assert "critic@" in card
    assert (out / "model" / "model.safetensors").read_bytes() == (out / "train" / "model" / "model.safetensors").read_bytes()


def test_responses_without_a_verdict_are_left_out(setting, tmp_path):
    """The critic refuses one prompt, and of the others every response that is not polite enough to greet."""
    script = tmp_path / "s.yaml"
    script.write_text(
        "rules: [{when: rice, fail: refused}, {when: '<response>\\s*[A-H]', fail: refused}, {choose: {'7': 0.6, '8': 0.4}}]"
    )
    run = run_best_of_n(setting(critic=f"script:{script}", max_failure_rate=1.0))
    out = tmp_path / "run"
    scored = read(out / "label" / "scores.jsonl")
    assert all(record["response"][0]["content"][0] not in "ABCDEFGH" for record in scored)
    (failure, *_) = read(out / "failures.jsonl")
    assert (failure["row"], failure["id"], failure["reason"]) == (2, "p1", "bad_row")
    assert "none of its 4 responses" in failure["detail"]
    assert run["metrics"]["unscored"] == 16 - len(scored)
    assert "p1" not in {record["id"].rpartition(":")[0] for record in read(out / "label" / "sft.jsonl")}


def test_a_critic_without_any_verdict_is_a_failed_run(setting, tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{fail: refused}]")
    with pytest.raises(RunFailed, match="could be judged"):
        run_best_of_n(setting(critic=f"script:{tmp_path / 's.yaml'}", max_failure_rate=1.0))
    assert not (tmp_path / "run" / "train").exists()


def test_a_reward_model_ranks_too(setting, tmp_path):
    folder = tmp_path / "rm"
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(lab_model("lab:policy"), num_labels=1)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(lab_model("lab:policy")).save_pretrained(folder)
    run = run_best_of_n(setting(reward_model=str(folder)))
    judge, out = RewardModel(str(folder)), tmp_path / "run"
    for sample, best in zip(read(out / "samples.jsonl"), read(out / "label" / "sft.jsonl"), strict=True):
        scores = judge.scores([tuple(sample["prompt"])] * 4, sample["responses"])
        assert best["completion"][0]["content"] == sample["responses"][int(scores.argmax())]
        assert best["value"] == pytest.approx(scores.max().item(), abs=1e-5)
    assert run["rounds"][0]["labelled_by"] == {"reward_model": judge.identity}
    card = (out / "model" / "README.md").read_text()
    assert f"reward model `{judge.identity}`" in card
    assert "The labels came with the data" not in card


def test_what_the_reward_model_cannot_score_is_missing(setting, tmp_path, monkeypatch):
    class Shortest:
        """Likes short responses, and has no opinion on rice or on responses over 55 characters."""

        identity = "shortest"

        def __init__(self, path, prediction, trust_remote_code):
            assert prediction == "worst"

        def scores(self, conversations, responses):
            pairs = zip(conversations, responses, strict=True)
            unknown = [math.nan if len(text) > 55 or "rice" in turns[-1]["content"] else -len(text) for turns, text in pairs]
            return torch.tensor(unknown, dtype=torch.float)

    monkeypatch.setattr(best_of_n, "RewardModel", Shortest)
    run = run_best_of_n(setting(reward_model="lab:policy", prediction="worst", samples=8, max_tokens=12))
    out = tmp_path / "run"
    samples = {sample["id"]: sample["responses"] for sample in read(out / "samples.jsonl")}
    known = {name: [text for text in texts if len(text) <= 55] for name, texts in samples.items() if name != "p1"}
    kept = {record["id"].rpartition(":")[0]: record["completion"][0]["content"] for record in read(out / "label" / "sft.jsonl")}
    assert kept == {name: min(texts, key=len) for name, texts in known.items() if texts}
    assert {failure["id"] for failure in read(out / "failures.jsonl")} == samples.keys() - kept.keys()
    assert run["metrics"]["unscored"] == 32 - sum(map(len, known.values())) == len(read(out / "label" / "failures.jsonl"))
