"""Examples as known rows and as shots."""

import pytest

from rlaif.constitution import Constitution, Example, Principle
from rlaif.critic.examples import known, margin, shots


def example(name):
    return Example(({"role": "user", "content": name},), f"{name} better", f"{name} worse")


KIND = Principle("kind", "Be kind.", examples=tuple(map(example, "abc")))
CONSTITUTION = Constitution("c", 1, (KIND, Principle("brief", "Be brief.", examples=(example("d"),)), Principle("bare", "-")))


def test_every_example_is_a_row_and_the_better_response_takes_turns():
    rows = list(known(CONSTITUTION))
    assert [(row.id, row.better, row.principle.id) for row in rows] == [
        ("kind#1", 0, "kind"), ("kind#2", 1, "kind"), ("kind#3", 0, "kind"), ("brief#1", 0, "brief"),
    ]  # fmt: skip
    for row in rows:
        assert row.responses[row.better].turns[0]["content"].endswith("better")


def test_the_margin_is_of_the_better_response_wherever_it_stands():
    first, second, *_ = known(CONSTITUTION)
    assert margin(first, 0.9) == pytest.approx(0.8)
    assert margin(second, 0.9) == pytest.approx(-0.8)
    assert margin(first, 0.5) == margin(second, 0.5) == 0.0


def test_shots_show_either_label_as_right_and_are_right():
    found = shots(KIND, ("A", "B"), 2, [])
    assert [shot.label for shot in found] == ["A", "B"]
    for shot in found:
        assert shot.responses["AB".index(shot.label)][0]["content"].endswith("better")


def test_an_example_is_no_shot_for_its_own_question():
    prompts = [shot.conversation[0]["content"] for shot in shots(KIND, ("A", "B"), 9, [{"role": "user", "content": "b"}])]
    assert prompts == ["a", "c"]
    assert shots(KIND, ("A", "B"), 0, []) == ()
