"""What a comparison says that it would draw and ask."""

from __future__ import annotations

import pytest

from rlaif.compare.costs import evaluation_cost, step_cost
from rlaif.compare.files import write_rows
from rlaif.compare.recipes import STEPS
from rlaif.compare.steps import Place

PRINCIPLES = 2


@pytest.fixture
def place(lab, tmp_path):
    def call(**settings):
        config = lab(**settings)
        write_rows(config, [], tmp_path / "seed-0", 0)
        return Place(config, tmp_path / "seed-0", 0, STEPS, {})

    return call


def test_labels_scores_and_rewards_ask_as_much(place):
    at = place(budget=64, samples=4)
    calls = {name: step_cost(at, name).calls for name in ("labels", "best-of-n", "direct", "grpo")}
    assert calls == dict.fromkeys(calls, 64 * PRINCIPLES)
    texts = {name: step_cost(at, name).texts for name in ("samples", "best-of-n", "direct", "grpo", "rlaif", "reft")}
    assert texts == dict.fromkeys(texts, 64)


def test_what_is_in_the_store_and_what_only_computes_asks_nothing(place):
    at = place()
    for name in ("helpful-labels", "known", "reward-model", "dpo", "two-models"):
        assert (step_cost(at, name).calls, step_cost(at, name).texts) == (0, 0)
    assert step_cost(at, "two-model").calls == 0 and step_cost(at, "two-model").texts == 8


def test_gold_is_free_and_a_critic_scores_every_answer_and_compares_it_with_the_base_s(place, tmp_path):
    by_gold = evaluation_cost(place(), 3)
    assert (by_gold.texts, by_gold.calls) == (3 * 2 * 3, 0)
    judged = evaluation_cost(place(judge=f"script:{tmp_path / 'compare.yaml'}"), 3)
    scores, comparisons = 3 * 2 * 3 * PRINCIPLES, 2 * 2 * 3 * 2 * PRINCIPLES
    assert judged.calls == scores + comparisons
