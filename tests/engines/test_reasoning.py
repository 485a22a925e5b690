"""How chat templates of several families write reasoning, found out by asking them."""

import pytest

from rlaif.engines.reasoning import find_reasoning, split_reasoning
from tests.templates import REASONING
from tests.tiny import byte_tokenizer


@pytest.mark.parametrize("name", REASONING)
def test_every_family_is_told_apart(name):
    template, expected = REASONING[name]
    assert find_reasoning(byte_tokenizer(template))._asdict() == expected


def test_without_a_template_the_tags_are_the_datas_own():
    form = find_reasoning(byte_tokenizer(None))
    assert (form.opening, form.closing, form.exact) == ("<think>", "</think>", True)


@pytest.mark.parametrize(
    ("text", "opened", "parts"),
    [
        ("<think>a</think>b", False, ("a", "b")),
        ("\n<think>\na\n</think>\n\nb", False, ("\na\n", "\n\nb")),
        ("a</think>b", True, ("a", "b")),
        ("a</think>b", False, None),
        ("b", True, None),
        ("see <think>a</think>b", False, None),
        ("<think>a", False, None),
        ("a <think> b </think>", True, None),
    ],
)
def test_where_reasoning_ends(text, opened, parts):
    assert split_reasoning(text, opened) == parts
