"""Labels from texts: a text is a label alone, or it is none."""

import math

import pytest

from rlaif.critic.modes.compare import comparison, first_label
from rlaif.critic.modes.score import score
from rlaif.critic.sampled import counted, label_of, named
from rlaif.engines.base import Choice, FailureReason, Generation, Sampling

SCALE = tuple("123456789")


@pytest.mark.parametrize(
    "text",
    ["A", " A\n", "A.", "**A**", '"A"', "(A)", "Answer: A", "answer: A.", "The answer is A", "Final answer: **A**", "a",
     "<think>B is worse. B!</think>\n\nA", "[A]", "Answer:\nA"],
)  # fmt: skip
def test_a_label_alone(text):
    assert label_of(text, ("A", "B")) == "A"


@pytest.mark.parametrize(
    "text",
    ["", " ", "A or B", "A B", "AB", "Response A", "A is better", "I cannot.", "<think>A</think>", "<think>A", "B>A", "Answer:",
     "A\nB", "not A", "AA", "C", "A" * 5000, "Answer: Answer: A"],
)  # fmt: skip
def test_anything_else_is_no_label(text):
    assert label_of(text, ("A", "B")) is None


def test_labels_that_differ_in_case_are_told_apart():
    assert label_of("a", ("a", "A")) == "a" and label_of("yes", ("YES", "Yes")) is None
    assert label_of("10", SCALE) is None and label_of("7.", SCALE) == "7"


def texts(*said, finish="stop"):
    return [Generation(text, (), (), finish, 12) for text in said]


def test_shares_are_probabilities():
    choice = counted(texts("A", "A", "B", "Answer: A", "hm"), ("A", "B"))
    assert isinstance(choice, Choice) and choice.mass == pytest.approx(0.8)
    assert [math.exp(value) for value in choice.logprobs] == pytest.approx([0.6, 0.2])
    assert first_label(choice) == pytest.approx(0.75) and choice.prompt_tokens == 12


def test_one_sided_draws_are_sure_and_finite():
    choice = counted(texts("A", "A"), ("A", "B"))
    assert first_label(choice) == 1.0 and all(map(math.isfinite, choice.logprobs))
    assert comparison([choice, counted(texts("B", "A"), ("A", "B"))]).p == pytest.approx(0.75)
    assert score(counted(texts("9", "7"), SCALE)).score == pytest.approx((8 - 5) / 4)


def test_no_label_is_a_failure():
    failure = counted(texts("hm", "I cannot", "hm"), ("A", "B"))
    assert failure.reason is FailureReason.PARSE_FAILED and "'hm'" in failure.detail
    assert counted(texts("A", "A", finish="length"), ("A", "B")).reason is FailureReason.TRUNCATED


def test_the_name_says_how():
    first = named("m server", Sampling(64, n=8))
    assert first == "m server labels sampled 8× (temperature 1, at most 64 tokens, seed 0)"
    assert len({first, *(named("m server", s) for s in (Sampling(64, n=4), Sampling(32, n=8), Sampling(64, n=8, seed=1)))}) == 4
