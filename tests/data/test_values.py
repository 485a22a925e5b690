"""Values of datasets made plain: JSON can always hold them, and nothing that was a number stops being one."""

import datetime
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.data.values import BadRecordError, number, parsed, plain, sequence, text, truth

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8"))
values = st.recursive(
    scalars | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_whatever_a_dataset_holds_json_holds_plain(value):
    made = plain("x", value)
    assert json.loads(json.dumps(made, allow_nan=False)) == made
    assert plain("x", made) == made


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (math.inf, None),
        (pd.NaT, None),
        (np.float32(0.5), 0.5),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (b"caf\xc3\xa9", "café"),
        (b"\xff\xfe", "//4="),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (pd.Timestamp("2026-01-02T03:04:05"), "2026-01-02T03:04:05"),
        ({1: (2, {3})}, {"1": [2, [3]]}),
        (10**30, 10**30),
    ],
)
def test_other_types_become_those_of_json(value, expected):
    assert plain("x", value) == expected


@pytest.mark.parametrize("value", ["\ud800", ["ok", "\udfff"], {"\ud800": 1}])
def test_half_a_surrogate_pair_is_refused_by_name(value):
    with pytest.raises(BadRecordError, match="column: not valid UTF-8"):
        plain("column", value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_in_every_spelling(value):
    assert number(value) == number(repr(value)) == number(np.float64(value)) == value


@pytest.mark.parametrize("value", [None, True, "", "many", math.nan, "nan", "inf", [1], {}, np.bool_(True)])
def test_what_is_no_finite_number_is_none(value):
    assert number(value) is None


@pytest.mark.parametrize("value", [True, 1, 1.0, "1", "true", " TRUE ", np.int64(1)])
def test_what_is_true(value):
    assert truth(value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, "0", "False", np.float32(0)])
def test_what_is_false(value):
    assert truth(value) is False


@pytest.mark.parametrize("value", [None, "yes", 2, -1, 0.5, "maybe", []])
def test_what_is_neither_true_nor_false(value):
    assert truth(value) is None


@given(values.map(lambda value: plain("x", value)).filter(lambda value: isinstance(value, list | dict)))
def test_json_in_a_text_is_read(value):
    assert parsed(json.dumps(value)) == value == parsed(value)


@pytest.mark.parametrize("value", ["[1, 2", "{not json}", "[" * 100_000, "plain", " 7", "null", 7, None])
def test_any_other_text_stays(value):
    assert parsed(value) == value


def test_sequences_are_lists_tuples_and_arrays_of_one_dimension():
    assert list(sequence((1, 2))) == list(sequence(np.array([1, 2]))) == [1, 2]
    assert [sequence(value) for value in ("ab", {"a": 1}, np.array(3), np.zeros((2, 2)), None)] == [None] * 5


@pytest.mark.parametrize("value", [None, 3, ["a"], {"a": 1}, b"a"])
def test_a_text_must_be_one(value):
    with pytest.raises(BadRecordError, match="answer: must be a text, found "):
        text("answer", value)
