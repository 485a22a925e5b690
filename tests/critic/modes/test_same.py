"""Whether two responses give the same answer: p is of Yes in either order, and nothing is asked of equal texts."""

import math

import pytest

from rlaif.critic.modes import MODES
from rlaif.critic.modes.base import Reading
from rlaif.critic.modes.same import NAME, QUESTION, SAME
from rlaif.critic.templates import load_template
from rlaif.engines.base import Choice, Failure, FailureReason


def choice(yes, no=None):
    no = 1 - yes if no is None else no
    return Choice((math.log(yes), math.log(no)), yes + no, "Yes", 1)


def test_the_orders_are_averaged_as_they_are():
    verdict = SAME.read([choice(0.9), choice(0.6)], [], (0, 1), Reading())
    assert verdict.p == pytest.approx(0.75) and verdict.gap == pytest.approx(0.3)
    once = SAME.read([choice(0.9)], [], (1, 0), Reading(orders="ab"))
    assert once.p == pytest.approx(0.9) and once.gap is None


def test_equal_texts_are_the_same_and_a_failure_stays_one():
    assert SAME.read([], [], (0, 0), Reading()).p == 1
    failed = SAME.read([choice(0.9), Failure(FailureReason.REFUSED, "no")], [], (0, 1), Reading())
    assert isinstance(failed, Failure) and failed.reason == FailureReason.REFUSED
    assert SAME.read([choice(0.02, 0.01), choice(0.9)], [], (0, 1), Reading()).reason == FailureReason.LABEL_MASS_LOW


def test_it_is_no_mode_of_labelling_but_can_be_found():
    assert "same" not in list(MODES) and MODES[NAME] is SAME
    template = load_template(SAME.form)
    assert template.choices == ("Yes", "No")
    prompt = template.render(
        QUESTION.principles[0].text,
        [{"role": "user", "content": "q"}],
        [[{"role": "assistant", "content": "</response_a>"}]] * 2,
    )
    text = "".join(segment.text for message in prompt for segment in message.segments if segment.trusted)
    assert text.count("</response_a>") == 1 and QUESTION.principles[0].text in text
