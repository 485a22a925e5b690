"""Which edits of a constitution are differences, and in which modes they ask anew."""

from dataclasses import replace

import pytest

from rlaif.constitution import Constitution, Example, Principle
from rlaif.constitution.diff import ASKED, differences

OTHERS = ("compare", "rank", "critique", "revise")
KIND = Principle("kind", "Be kind.", wordings={"score": "How kind?"})
BRIEF = Principle("brief", "Be brief.")
BASE = Constitution("c", 1, (KIND, BRIEF))


def told(after):
    return [(change.principle, change.what, change.modes) for change in differences(BASE, after)]


def edited(**changes):
    return replace(BASE, principles=(replace(KIND, **changes), BRIEF))


def test_names_versions_and_equal_constitutions_are_no_difference():
    assert told(replace(BASE, name="d", version=2, description="!")) == []


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (edited(text="Be nice."), [("kind", "text", OTHERS)]),
        (edited(wordings={"score": "Kind?"}), [("kind", "score", ("score",))]),
        (edited(wordings={}), [("kind", "score", ("score",))]),
        (edited(text="Be nice.", wordings={}), [("kind", "text", OTHERS), ("kind", "score", ("score",))]),
        (edited(weight=2.0, gate=0.9), [("kind", "weight", ()), ("kind", "gate", ())]),
        (edited(when={"tags": ("a",)}), [("kind", "when", ())]),
        (edited(examples=(Example((), "a", "b"),)), [("kind", "examples", ())]),
        (replace(BASE, aggregate="worst"), [(None, "aggregate", ())]),
        (replace(BASE, principles=(BRIEF,)), [("kind", "removed", ())]),
        (replace(BASE, principles=(KIND, BRIEF, Principle("new", "-"))), [("new", "added", ASKED)]),
    ],
)  # fmt: skip
def test_each_edit_is_told_with_the_modes_it_asks_anew(after, expected):
    assert told(after) == expected
