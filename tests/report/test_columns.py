import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.report.columns import CHUNK, Texts, data, numbers
from tests.reference.report_page import unpacked

JSON = st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(JSON)
def test_a_block_holds_no_markup_and_reads_back(value):
    block = data("name", value)
    assert re.fullmatch("[A-Za-z0-9+/=]+", block.content)
    assert unpacked(block.content, block.kind) == value


@given(st.lists(st.integers(0, 2**16 - 1)))
def test_numbers_read_back(values):
    assert unpacked(numbers("n", values, "u2").content, "u2") == values


def test_what_is_not_known_is_nan():
    assert [math.isnan(value) for value in unpacked(numbers("n", [0.5, math.nan], "f4").content, "f4")] == [False, True]


def test_a_number_that_does_not_fit_is_an_error():
    with pytest.raises(OverflowError):
        numbers("n", [300], "u1")


@given(st.lists(st.text(max_size=30), max_size=60))
def test_the_same_text_has_one_number_and_every_number_its_text(values):
    texts = Texts()
    given_numbers = [texts.number(value) for value in values]
    first, *blocks = texts.finish()
    held = [entry for block in blocks for entry in unpacked(block.content, "json")]
    assert [held[number] for number in given_numbers] == values and len(held) == len(set(values))
    assert unpacked(first.content, "u4") == ([0] if values else [])


def test_texts_come_in_blocks_of_which_the_first_numbers_are_told():
    texts = Texts()
    for number in range(10):
        texts.number(str(number) * (CHUNK // 3))
    first, *blocks = texts.finish()
    lengths = [len(unpacked(block.content, "json")) for block in blocks]
    starts = unpacked(first.content, "u4")
    assert len(blocks) == 4 and starts == [sum(lengths[:at]) for at in range(4)] and sum(lengths) == 10
    assert [block.name for block in blocks] == ["texts/0", "texts/1", "texts/2", "texts/3"]


def test_the_same_content_is_the_same_block():
    assert data("a", [1, "x"]) == data("a", [1, "x"])
