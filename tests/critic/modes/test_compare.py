"""From label log-probabilities to a soft label."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.critic.modes.compare import averaged, comparison
from rlaif.critic.verdict import Comparison, Failure, FailureReason
from rlaif.engines.base import Choice


def choice(a: float, b: float, raw: str = "A", cut: int = 0) -> Choice:
    """An answer that gives the labels these probabilities."""
    return Choice((math.log(a) if a else -math.inf, math.log(b) if b else -math.inf), a + b, raw, 10, cut)


def test_both_orders_are_averaged_and_their_difference_kept():
    # P(first better): 0.6/0.8 = 0.75 when shown first, 1 - 0.5 = 0.5 when shown second.
    verdict = comparison([choice(0.6, 0.2), choice(0.3, 0.3, raw="B", cut=5)])
    assert verdict == Comparison(pytest.approx(0.625), pytest.approx(0.25), pytest.approx(0.6), ("A", "B"), 5)


def test_a_critic_that_always_says_a_has_no_opinion_and_a_gap():
    verdict = comparison([choice(0.9, 0.1), choice(0.9, 0.1)])
    assert verdict.p == pytest.approx(0.5)
    assert verdict.gap == pytest.approx(0.8)


@given(st.tuples(*[st.floats(1e-6, 0.5)] * 4))
def test_swapping_the_responses_mirrors_p_and_keeps_the_gap(probabilities):
    a, b, c, d = probabilities
    here, there = comparison([choice(a, b), choice(c, d)], min_mass=0), comparison([choice(c, d), choice(a, b)], min_mass=0)
    assert here.p == pytest.approx(1 - there.p)
    assert here.gap == pytest.approx(there.gap)


@pytest.mark.parametrize(("orders", "p"), [("ab", 0.75), ("ba", 0.25)])
def test_one_order_has_no_gap(orders, p):
    verdict = comparison([choice(0.6, 0.2)], orders)
    assert verdict.p == pytest.approx(p)
    assert verdict.gap is None


def test_extreme_log_probabilities_stay_finite():
    verdict = comparison([Choice((0.0, -1e4), 1.0, "A", 1), Choice((-math.inf, 0.0), 1.0, "B", 1)])
    assert verdict.p == 1.0


@pytest.mark.parametrize("failing", [0, 1])
def test_half_a_comparison_is_no_verdict(failing):
    answers = [choice(0.6, 0.2), choice(0.3, 0.3)]
    answers[failing] = Failure(FailureReason.ENGINE_ERROR, "gone")
    assert comparison(answers) == Failure(FailureReason.ENGINE_ERROR, f"{('ab', 'ba')[failing]}: gone")


def test_a_failure_names_every_order_that_failed():
    refused, gone = Failure(FailureReason.REFUSED, "no"), Failure(FailureReason.ENGINE_ERROR, "gone")
    assert comparison([refused, gone]) == Failure(FailureReason.REFUSED, "ab: no; ba: gone")
    assert comparison([gone], "ba") == Failure(FailureReason.ENGINE_ERROR, "ba: gone")


def test_a_critic_about_to_say_something_else_gives_no_verdict():
    verdict = comparison([choice(0.6, 0.2), choice(0.01, 0.02, raw="Sorry")])
    assert verdict.reason is FailureReason.LABEL_MASS_LOW
    assert "Sorry" in verdict.detail


def test_no_mass_at_all_is_a_failure_whatever_the_threshold():
    assert comparison([choice(0, 0), choice(0.5, 0.5)], min_mass=0).reason is FailureReason.LABEL_MASS_LOW


@given(st.tuples(*[st.floats(1e-6, 0.5)] * 4))
def test_a_clamp_keeps_every_order_within_and_the_mirror_exact(probabilities):
    a, b, c, d = probabilities
    here = comparison([choice(a, b), choice(c, d)], min_mass=0, clamp=(0.4, 0.6))
    there = comparison([choice(c, d), choice(a, b)], min_mass=0, clamp=(0.4, 0.6))
    assert 0.4 - 1e-9 <= here.p - abs(here.gap) / 2 <= here.p + abs(here.gap) / 2 <= 0.6 + 1e-9
    assert here.p == pytest.approx(1 - there.p)
    plain = comparison([choice(a, b), choice(c, d)], min_mass=0)
    assert (plain.p + plain.gap / 2 > 0.5) == (here.p + here.gap / 2 > 0.5) or plain.p + plain.gap / 2 == pytest.approx(0.5)


def test_the_mean_leaves_failures_out_and_invents_nothing():
    gone = Failure(FailureReason.REFUSED, "no")
    verdicts = [comparison([choice(0.6, 0.2), choice(0.3, 0.3)]), gone, comparison([choice(0.2, 0.2), choice(0.1, 0.1)])]
    found = averaged(verdicts)
    assert found.p == pytest.approx((0.625 + 0.5) / 2) and found.gap == pytest.approx(0.125)
    assert found.mass == pytest.approx(0.2)
    assert averaged([gone, gone]) == gone and averaged(verdicts[:1]) == verdicts[0]
