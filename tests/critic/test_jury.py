"""Whatever critics say, turning the responses round turns the verdicts round, in every mode."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.critic.ask import Replies
from rlaif.critic.jury import Jury
from rlaif.critic.store import VerdictStore
from rlaif.critic.verdict import TIE, Comparison, Failure, Score
from tests.critic.erratic import ErraticEngine, critics, row

HOW = {
    "compare": {},
    "one order": {"orders": "ab"},
    "score": {"form": "score"},
    "rank": {"form": "rank"},
    "reasons": {"form": "reasons", "votes": 2, "clamp": (0.4, 0.6)},
}


def judged(texts, failing=0.0, members=2, **how):
    """The jury, its verdicts on a row of these texts, and how many questions were asked for them."""
    engines = [ErraticEngine(f"critic {number}", failing) for number in range(members)]
    with VerdictStore(Path(":memory:")) as store:
        jury, replies = Jury(critics(store, *engines, **how)), Replies()
        pairs = [(i, j) for j in range(len(texts)) for i in range(j)]
        plans = [jury.plan(row(*texts), subject) for subject in jury.mode.subjects(len(texts), pairs)]
        asyncio.run(jury.ask(plans, replies))
        return jury, jury.verdicts(plans, replies), sum(engine.asked for engine in engines)


def flat(verdict):
    """A verdict's numbers, and what was said in an order that does not depend on which call came first."""
    numbers = [None if number is None else round(number, 9) for number in (verdict.p, verdict.gap, verdict.mass, *verdict.jury)]
    return numbers, sorted(verdict.raw), sorted(verdict.rationales)


@pytest.mark.parametrize("how", HOW)
@settings(deadline=None)
@given(texts=st.lists(st.text("abc ", min_size=1, max_size=3), min_size=2, max_size=2), failing=st.sampled_from([0.0, 0.3]))
def test_turning_the_responses_round_turns_the_verdict_round(how, texts, failing):
    options = dict(HOW[how])
    jury, verdicts, _ = judged(texts, failing, **options)
    if how == "one order":
        options["orders"] = "ba"
    turned, others, _ = judged(texts[::-1], failing, **options)
    for (principle, here), (same, there) in zip(jury.on_pair(verdicts, 0, 1), turned.on_pair(others, 0, 1), strict=True):
        assert principle == same
        assert isinstance(here, Failure) == isinstance(there, Failure)
        if isinstance(here, Comparison):
            assert flat(here) == flat(there.swap())


@pytest.mark.parametrize("how", HOW)
def test_responses_that_are_the_same_are_a_tie_without_a_question(how):
    jury, verdicts, asked = judged(["same", "same"], **HOW[how])
    for _, verdict in jury.on_pair(verdicts, 0, 1):
        assert verdict.p == pytest.approx(0.5) and verdict.gap is None
        if how != "score":  # a score is of one response: both have the one that was asked for
            assert verdict == replace(TIE, jury=(0.5, 0.5))
    assert asked == (2 * 2 if how == "score" else 0)


def test_a_list_shows_the_same_response_once():
    jury, verdicts, asked = judged(["x", "y", "x"], members=1, form="rank")
    short, others, as_many = judged(["x", "y"], members=1, form="rank")
    assert asked == as_many == 2 * 2
    for (_, tie), (_, first), (_, last), (_, plain) in zip(
        jury.on_pair(verdicts, 0, 2),
        jury.on_pair(verdicts, 0, 1),
        jury.on_pair(verdicts, 1, 2),
        short.on_pair(others, 0, 1),
        strict=True,
    ):
        assert tie == TIE and first.p == plain.p == last.swap().p


def test_one_critic_with_a_verdict_is_enough_and_the_other_is_seen_to_be_missing():
    texts = [str(number) for number in range(8)]
    jury, verdicts, _ = judged(texts, failing=0.3)
    _, sound, _ = judged(texts)
    seen = set()
    for principle, by_critic in verdicts.items():
        for i, j in by_critic[0]:
            each = [by_subject[i, j] for by_subject in by_critic]
            there = [verdict.p for verdict in each if isinstance(verdict, Comparison)]
            (whole,) = [verdict for about, verdict in jury.on_pair(verdicts, i, j) if about == principle]
            seen.add(len(there))
            if there:
                assert whole.p == pytest.approx(sum(there) / len(there))
                assert [p for p in whole.jury if p is not None] == there
            else:
                assert isinstance(whole, Failure)
    assert seen == {0, 1, 2} and sound.keys() == verdicts.keys()


def test_scores_say_something_of_single_responses_and_comparisons_do_not():
    jury, verdicts, _ = judged(["x", "y"], form="score")
    scores = [verdict for _, verdict in jury.on_response(verdicts, 1)]
    assert all(isinstance(verdict, Score) and len(verdict.jury) == 2 for verdict in scores) and len(scores) == 2
    jury, verdicts, _ = judged(["x", "y"])
    assert jury.on_response(verdicts, 1) == []
