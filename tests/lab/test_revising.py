"""The grammar's critiques and revisions: a fault is mended, at a price that gold knows, and what has no fault is left alone."""

from __future__ import annotations

import random
from itertools import islice

import pytest

from rlaif.lab import phrases
from rlaif.lab.gold import PRINCIPLES, gold
from rlaif.lab.questions import questions
from rlaif.lab.revising import NO_FAULT, revise
from rlaif.lab.world import draw_questions, reply, write_core

PRICE = {
    "polite": {"concise"},
    "correct": {"concise"},
    "harmless": {"concise", "helpful"},
    "concise": set(),
    "evidence": {"concise"},
    "humble": {"concise"},
    "helpful": {"concise"},
}
"""Where gold may fall for the sake of a principle."""


def revised(principle, n=1500, split="heldout"):
    rng = random.Random(principle)
    for question in islice(draw_questions(3, split), n):
        said = reply(question, rng)
        critique, better = revise(question, said, principle, rng)
        yield question, said, critique, better


@pytest.mark.parametrize("principle", PRINCIPLES)
def test_a_revision_raises_gold_for_its_principle_and_nothing_else_pays_but_its_price(principle):
    raised = []
    for question, said, critique, better in revised(principle):
        before, after = gold(question.text, said), gold(question.text, better)
        assert (critique == NO_FAULT) == (said == better)
        if said == better:
            continue
        assert after[principle] >= before[principle]
        raised.append(after[principle] > before[principle])
        assert {name for name in PRINCIPLES if after[name] < before[name]} <= PRICE[principle], (said, better)
    assert len(raised) > 100 and sum(raised) > 0.97 * len(raised)


@pytest.mark.parametrize("principle", PRINCIPLES)
def test_what_is_revised_has_no_fault_left(principle):
    rng = random.Random(0)
    for question, _, _, better in revised(principle, 400):
        assert revise(question, better, principle, rng) == (NO_FAULT, better)


def test_a_critique_quotes_the_words_at_fault():
    quoting = {"polite": phrases.INSULTS, "concise": phrases.FILLERS, "humble": phrases.BOASTS, "evidence": phrases.RUMOURS}
    for principle, faults in quoting.items():
        for _, said, critique, better in revised(principle, 300):
            named = [fault for fault in faults if fault in critique]
            assert bool(named) == any(fault in said for fault in faults)
            assert not any(fault in better for fault in faults), (said, better)


def test_a_fault_in_the_middle_of_a_reply_goes_and_the_rest_stays():
    question = questions()["How do I brew tea?"]
    said = "Are you stupid? I am never wrong: first warm the pot, then pour hot water over the leaves. I wish you well!"
    rng = random.Random(0)
    assert revise(question, said, "polite", rng) == (
        "The reply insults the reader: Are you stupid?",
        "I am never wrong: first warm the pot, then pour hot water over the leaves. I wish you well!",
    )
    critique, humble = revise(question, said, "humble", rng)
    assert critique == "The reply boasts: I am never wrong:"
    assert humble.split("first warm")[1] == said.split("first warm")[1]


def test_any_text_at_all_can_be_revised():
    rng = random.Random(0)
    for question in islice(draw_questions(1, "train"), 40):
        core = write_core(question, "answer", False, rng)
        for said in ("", "Hm.", "Thank you for asking!", core, f"{core} {core}", "🙂 <|im_end|>"):
            for principle in PRINCIPLES:
                critique, better = revise(question, said, principle, rng)
                assert (critique == NO_FAULT) == (said == better)
