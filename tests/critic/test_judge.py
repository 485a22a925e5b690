"""Which responses stand first where a critic is asked in one order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.judge import Judge
from rlaif.critic.templates import load_template
from rlaif.data.rows import Response, Row, Turn

CONSTITUTION = Constitution("c", 1, (Principle("kind", "It is kind."),))


def judge(orders, seed=0, mode="compare"):
    return Judge(CONSTITUTION, load_template(mode), "engine", orders=orders, seed=seed)


def row(*texts, prompt="hi"):
    responses = tuple(Response((Turn(role="assistant", content=text),)) for text in texts)
    return Row(1, "1", (Turn(role="user", content=prompt),), responses)


def shown(orders, row, seed=0):
    """The texts of the one question that a single order takes, in the order in which they are shown."""
    ((asked,),) = [one.questions for one in judge(orders, seed).ask(row, (0, 1))]
    return [turns[0]["content"] for turns in asked.responses]


TEXTS = st.lists(st.text(max_size=9), min_size=2, max_size=2, unique=True)


@given(TEXTS, st.text(max_size=9), st.integers(0, 99))
def test_the_order_does_not_depend_on_which_response_the_dataset_names_first(texts, prompt, seed):
    there = shown("ab", row(*texts, prompt=prompt), seed)
    assert there == shown("ab", row(*reversed(texts), prompt=prompt), seed)
    assert there == list(reversed(shown("ba", row(*texts, prompt=prompt), seed)))


@given(TEXTS)
def test_the_two_single_orders_ask_what_both_orders_ask(texts):
    both, ab, ba = (judge(orders).ask(row(*texts), (0, 1))[0].questions for orders in ("both", "ab", "ba"))
    assert {question.key for question in both} == {ab[0].key, ba[0].key}


@pytest.mark.parametrize("orders", ["ab", "ba"])
def test_either_response_stands_first_about_as_often_and_the_seed_draws(orders):
    rows = [row(f"chosen {number}", f"rejected {number}", prompt=f"q{number}") for number in range(400)]
    first = [[shown(orders, each, seed)[0].startswith("chosen") for each in rows] for seed in (0, 1)]
    for drawn in first:
        assert 160 < sum(drawn) < 240  # four standard deviations around 200
    assert 160 < sum(a != b for a, b in zip(*first, strict=True)) < 240


@pytest.mark.parametrize("orders", ["ab", "ba"])
def test_a_list_is_shown_one_way_or_the_other_and_never_by_where_the_best_stands(orders):
    backwards = 0
    for number in range(200):
        texts = [f"best {number}", f"middle {number}", f"worst {number}"]
        questions = judge(orders, mode="rank").ask(row(*texts), (0, 1, 2))[0].questions
        listed = [turns[0]["content"] for turns in questions[0].responses]
        assert listed in (texts, texts[::-1])
        backwards += listed != texts
    assert 70 < backwards < 130
