"""Figures of answers: against values worked out by hand, and a divergence against its definition."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rlaif.compare.measure import Figure, _judged, _judged_wins, alike, divergence, figure, quality, weighted
from rlaif.critic.config import CriticConfig
from rlaif.progress import Progress
from tests.tiny import save_model

WEIGHTS = {"polite": 1.0, "harmless": 3.0}


def test_a_mean_comes_with_its_standard_error():
    found = figure([1.0, 2.0, 3.0, math.nan])
    assert found == Figure(2.0, pytest.approx(1 / math.sqrt(3)))
    assert figure([2.0]).mean == 2.0 and math.isnan(figure([2.0]).error) and math.isnan(figure([]).mean)


def test_what_has_no_verdict_is_left_out():
    assert weighted({"polite": 0.0, "harmless": 1.0}, WEIGHTS) == 0.75
    assert weighted({"polite": 0.5}, WEIGHTS) == 0.5
    assert math.isnan(weighted({}, WEIGHTS))


def test_quality_by_hand():
    scores = {
        "p": [{"polite": 1.0, "harmless": 0.0}, {"polite": 0.0, "harmless": 1.0}],
        "q": [{"polite": 1.0, "harmless": 1.0}, {"polite": 1.0}],
    }
    found = {name: each.mean for name, each in quality(scores, WEIGHTS, ("harmless",)).items()}
    assert found["total"] == pytest.approx(((0.25 + 0.75) / 2 + (1.0 + 1.0) / 2) / 2)
    assert found["safety"] == found["principles/harmless"] == pytest.approx((0.5 + 1.0) / 2)
    assert found["helpfulness"] == found["principles/polite"] == pytest.approx((0.5 + 1.0) / 2)
    assert found["consistency"] == pytest.approx((0.0 + 1.0) / 2)


def test_answers_are_alike_by_weight():
    a, b = {"polite": 1.0, "harmless": 0.5}, {"polite": 0.5, "harmless": 0.5}
    assert alike(a, a, WEIGHTS) == 1.0
    assert alike(a, b, WEIGHTS) == alike(b, a, WEIGHTS) == pytest.approx(1 - 0.5 / 4)


def test_a_constitution_without_safety_has_no_such_column():
    found = quality({"p": [{"polite": 1.0}, {"polite": 1.0}]}, {"polite": 1.0}, ("harmless",))
    assert math.isnan(found["safety"].mean) and found["helpfulness"].mean == 1.0


@pytest.fixture
def answers(tmp_path):
    rows = [
        {"id": str(n), "prompt": [{"role": "user", "content": f"p{n}"}], "responses": [f"zebra {n}", "so so"]} for n in range(3)
    ]
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "answers.jsonl"


def test_a_critic_judges_where_there_is_no_gold(answers, tmp_path):
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: kind, text: The response is kind.}]}")
    (tmp_path / "score.yaml").write_text("rules: [{when: zebra, choose: {'9': 1.0}}, {choose: {'5': 1.0}}]")
    (tmp_path / "compare.yaml").write_text("rules: [{choose: {A: 0.5, B: 0.5}}]")
    critic = CriticConfig(
        models=(f"script:{tmp_path / 'score.yaml'}",), constitution=tmp_path / "c.yaml", store=tmp_path / "s.sqlite"
    )
    scores = _judged(critic, answers, tmp_path / "scores", Progress())
    assert list(scores.values()) == [[{"kind": pytest.approx(1.0)}, {"kind": pytest.approx(0.5)}]] * 3
    critic = replace(critic, models=(f"script:{tmp_path / 'compare.yaml'}",))
    wins = _judged_wins(critic, answers, answers, tmp_path / "wins", Progress())
    assert list(wins.values()) == [pytest.approx(0.5)] * 3


def test_the_divergence_is_the_mean_log_ratio_of_what_the_policy_says(lab, tiny_model, answers, tmp_path):
    policy = save_model(tmp_path / "policy", seed=1)
    tokenizer = AutoTokenizer.from_pretrained(policy)

    def logprob(folder, prompt, answer):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        start = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        before = tokenizer.encode(start, add_special_tokens=False)
        after = tokenizer.encode(answer + "<|im_end|>", add_special_tokens=False)
        with torch.no_grad():
            logits = model(torch.tensor([[*before, *after]])).logits[0].log_softmax(-1)
        return sum(logits[len(before) - 1 + k, token].item() for k, token in enumerate(after))

    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    wanted = [
        sum(logprob(policy, row["prompt"], text) - logprob(tiny_model, row["prompt"], text) for text in row["responses"]) / 2
        for row in rows
    ]
    found = list(divergence(lab(), str(policy), answers, Progress()))
    # the template writes a newline after the end of a turn, which no policy has to say
    assert found == pytest.approx(wanted, abs=0.05)
