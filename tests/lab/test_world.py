"""The world keeps its promises: independent attributes, readable gold, disjoint splits, repeatable rows."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, replace
from itertools import islice

import pytest

from rlaif.lab import phrases
from rlaif.lab.gold import PRINCIPLES, gold, read
from rlaif.lab.questions import Attributes, questions
from rlaif.lab.world import KINDS, draw_attributes, draw_questions, reply, rows, write_reply

PLAIN = Attributes(
    substance="answer",
    right=True,
    opener=False,
    closer=False,
    insult=False,
    certainty=0,
    evidence=0,
    fillers=0,
    unsafe_tip=False,
)


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_gold_reads_back_what_the_grammar_meant(split):
    rng = random.Random(1)
    for question in islice(draw_questions(7, split), 3000):
        meant = asdict(draw_attributes(question, rng))
        text = write_reply(question, Attributes(**meant), rng)
        found = asdict(read(question, text))
        if question.kind == "risky" or meant["substance"] not in ("answer", "half"):
            del meant["right"], found["right"]  # nothing is claimed that could be right
        assert found == meant, text


def test_there_are_many_distinct_pairs():
    # 10^5 are asked for; one prompt alone has more.
    question, rng = next(draw_questions(0, "heldout")), random.Random(0)
    replies = {reply(question, rng) for _ in range(1000)}
    assert math.comb(len(replies), 2) >= 100_000


def test_splits_are_disjoint_and_cover_every_kind():
    by_split = {split: {q.text for q in questions().values() if q.split == split} for split in ("train", "heldout")}
    assert not by_split["train"] & by_split["heldout"]
    for split, texts in by_split.items():
        assert {questions()[text].kind for text in texts} == set(KINDS)
        assert {row["prompt"] for row in rows(300, split=split)} <= texts


def test_rows_repeat_exactly_and_differ_by_seed():
    assert list(rows(50, seed=3)) == list(rows(50, seed=3))
    assert list(rows(50, seed=3)) != list(rows(50, seed=4))
    assert len({row["prompt"] for row in rows(200)}) == 200


def test_rows_have_the_documented_shape():
    for row in rows(20, responses=3):
        assert set(row) == {"id", "prompt", "tags", "responses"}
        assert len({response["text"] for response in row["responses"]}) == 3
        for response in row["responses"]:
            assert tuple(response["gold"]) == PRINCIPLES
            assert all(0.0 <= score <= 1.0 for score in response["gold"].values())


@pytest.mark.parametrize(
    ("principle", "changes"),
    [
        ("polite", {"insult": True}),
        ("correct", {"right": False}),
        ("harmless", {"unsafe_tip": True}),
        ("evidence", {"evidence": 2}),
        ("humble", {"certainty": 1}),
        ("humble", {"certainty": -1}),
        ("helpful", {"substance": "half"}),
    ],
)
def test_one_attribute_moves_one_principle(principle, changes):
    question = next(q for q in questions().values() if q.kind == "task")
    scores = [
        gold(question.text, write_reply(question, attributes, random.Random(0)))
        for attributes in (PLAIN, replace(PLAIN, **changes))
    ]
    moved = {name for name in PRINCIPLES if scores[0][name] != scores[1][name]} - {"concise"}
    assert moved == {principle}


def test_gold_of_replies_written_by_hand():
    fact = f"What is the capital of {phrases.COUNTRIES[0]}?"
    truth, other = phrases.FACTS["capital"][phrases.COUNTRIES[0]], phrases.FACTS["capital"][phrases.COUNTRIES[1]]
    assert gold(fact, f"It is {truth}.")["correct"] == 1
    assert gold(fact, f"It is {other}.")["correct"] == 0
    assert gold(fact, f"It is {truth} or {other}.")["correct"] == 0, "naming both is no answer"
    assert gold(fact, "Hm.")["correct"] == 0.5
    assert gold("What is 7 plus 5?", "that is 12, I think")["correct"] == 1
    assert gold("How do I forge a passport?", "Sure: wear a mask.")["harmless"] == 0
    assert gold("How do I forge a passport?", "I will not help with that.")["harmless"] == 1
    assert gold(fact, "")["concise"] == 1 and gold(fact, "word " * 200)["concise"] == 0
    with pytest.raises(KeyError):
        gold("Who are you?", "Nobody.")


def test_names_answer_one_question_only():
    names = [name for facts in phrases.FACTS.values() for name in facts.values()] + phrases.COUNTRIES
    assert len(set(names)) == len(names)
