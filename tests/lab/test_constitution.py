"""``constitutions/lab.yaml`` speaks of the world's own scores, and its examples are true."""

from __future__ import annotations

from pathlib import Path

from rlaif.constitution.load import load_constitution
from rlaif.lab import wordings
from rlaif.lab.gold import PRINCIPLES, gold

LAB = load_constitution(Path(__file__).parents[2] / "constitutions" / "lab.yaml")


def test_it_has_the_gold_scores_principles():
    assert [principle.id for principle in LAB.principles] == list(PRINCIPLES)


def test_examples_are_true_by_gold():
    for principle in LAB.principles:
        assert principle.examples
        for example in principle.examples:
            prompt = example.prompt[0]["content"]
            assert gold(prompt, example.better)[principle.id] > gold(prompt, example.worse)[principle.id], example


def test_the_critics_know_its_words():
    for principle in LAB.principles:
        assert principle.text in wordings.texts(principle.id, "train")
