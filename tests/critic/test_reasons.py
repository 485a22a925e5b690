"""The sentence that names why verdicts are missing."""

import math

from rlaif.critic.modes.compare import comparison, sure
from rlaif.critic.reasons import Reasons
from rlaif.engines.base import Choice, Failure, FailureReason


def low(mass, said, orders=1):
    answer = Choice((math.log(mass / 2), math.log(mass / 2)), mass, said, 9)
    failure = sure(answer, 0.1) if orders == 1 else comparison([answer, answer])
    assert isinstance(failure, Failure)
    return failure


def told(*failures, of=10):
    reasons = Reasons()
    for failure in failures:
        reasons.add(failure.reason, failure.detail)
    return reasons.commonest(of, "verdicts")


def test_the_labels_share_and_what_the_critic_would_say():
    line = told(low(0.07, "The"), low(0.08, "The", orders=2), low(0.0999, "I"))
    assert line.startswith(
        "30% of verdicts: labels hold too little probability (.07–.10, would say 'The'): try --min-mass 0.05"
    )
    assert "--min-mass" not in told(low(0.001, "The")) and "--labels sampled" in told(low(0.001, "The"))


def test_a_critic_that_thinks_first():
    assert "serve it without reasoning, or give --labels sampled" in told(low(0.02, "<think>"))


def test_the_commonest_reason_is_named_with_its_commonest_words():
    def error(words):
        return Failure(FailureReason.ENGINE_ERROR, f"ab: {words}; ba: other")

    failures = [error("HTTP 500: boom 1"), error("HTTP 500: boom 2"), error("HTTP 503"), low(0.01, "x")]
    assert told(*failures) == (
        "30% of verdicts: the model did not answer (HTTP 500: boom 1); what helps: the same command continues once it does"
    )


def test_rows_are_told_in_their_own_words():
    rows = [Failure(FailureReason.BAD_ROW, f"the row has {n} responses; a list holds at most 26") for n in (30, 40)]
    assert told(*rows, of=2) == "100% of verdicts: the row has 30 responses; a list holds at most 26"


def test_nothing_failed():
    assert told() == ""


def test_words_without_end_are_bounded():
    reasons = Reasons()
    for number in range(5000):
        reasons.add("refused", "no" + "x" * number)
    assert reasons.counts["refused"] == 5000 and len(reasons._examples) <= 1000
    assert len(reasons.commonest(5000, "verdicts")) < 500
