"""Answers as the store's bytes: every answer comes back as it was, and nothing damaged is believed."""

import json
import math
from contextlib import nullcontext
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.critic.stored import DamagedError, checked, read, spelled
from rlaif.engines.base import Choice, Failure, FailureReason, Generation

logprobs = st.floats(max_value=0, allow_nan=False)  # minus infinity is one
texts = st.text(st.characters(codec="utf-8"), max_size=20)
counts = st.integers(0, 10**6)
choices = st.builds(Choice, st.lists(logprobs, min_size=1, max_size=5).map(tuple), st.floats(0, 1), texts, counts, counts)
failures = st.builds(Failure, st.sampled_from(FailureReason), texts)


@st.composite
def generations(draw):
    tokens = draw(st.lists(st.tuples(counts, logprobs), max_size=5))
    ids, values = (tuple(column) for column in (zip(*tokens, strict=True) if tokens else ((), ())))
    return Generation(draw(texts), ids, values, draw(st.sampled_from(["stop", "length"])), draw(counts))


@given(choices | failures | st.lists(generations(), min_size=1, max_size=3))
def test_an_answer_comes_back_as_it_was(answer):
    assert read(spelled(answer)) == answer


@given(choices | st.lists(generations(), min_size=1, max_size=3))
def test_what_the_first_format_held_reads_alike(answer):
    held = [asdict(item) for item in answer] if isinstance(answer, list) else asdict(answer)
    assert read(json.dumps(held).encode()) == answer


@pytest.mark.parametrize("wrong", [{"mass": math.nan}, {"mass": 1.5}, {"logprobs": ()}, {"logprobs": (0.5,)}, {"raw": None}])
def test_what_could_not_be_read_again_is_no_answer(wrong):
    answer = replace(Choice((-0.1, -3.0), 0.9, "A", 5), **wrong)
    assert checked(answer).reason is FailureReason.ENGINE_ERROR


CHOICE = {"logprobs": [-0.1, -3.0], "mass": 0.9, "raw": "A", "prompt_tokens": 5, "cut_tokens": 0}
TEXT = {"text": "hi", "token_ids": [1], "logprobs": [-0.5], "finish": "stop", "prompt_tokens": 3}


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "[]",
        "null",
        "7",
        '"text"',
        "{}",
        *(json.dumps({key: value for key, value in CHOICE.items() if key != left_out}) for left_out in CHOICE),
        *(
            json.dumps(CHOICE | wrong)
            for wrong in (
                {"mass": 1.5},
                {"mass": -0.1},
                {"mass": "0.9"},
                {"mass": math.nan},
                {"mass": True},
                {"logprobs": []},
                {"logprobs": [0.5]},
                {"logprobs": [math.nan]},
                {"logprobs": ["-1"]},
                {"logprobs": None},
                {"raw": None},
                {"prompt_tokens": -1},
                {"prompt_tokens": 1.5},
            )
        ),
        *(
            json.dumps([TEXT | wrong])
            for wrong in (
                {"text": None},
                {"token_ids": []},
                {"token_ids": [-1]},
                {"token_ids": [1.0]},
                {"finish": "abort"},
                {"logprobs": [1.0]},
                {"prompt_tokens": "3"},
            )
        ),
        '{"reason": "tired"}',
        '{"reason": "refused", "detail": 3}',
    ],
)
def test_what_no_engine_could_have_said_is_damaged(damaged):
    with pytest.raises(DamagedError):
        read(damaged.encode())


@given(choices, st.data())
def test_a_byte_that_changed_is_noticed(answer, data):
    stored = spelled(answer)
    place, byte = data.draw(st.integers(0, len(stored) - 1)), data.draw(st.integers(0, 255))
    with pytest.raises(DamagedError) if stored[place] != byte else nullcontext():
        read(stored[:place] + bytes([byte]) + stored[place + 1 :])


@given(choices, st.data())
def test_what_was_cut_is_noticed(answer, data):
    with pytest.raises(DamagedError):
        read(spelled(answer)[: data.draw(st.integers(0, len(spelled(answer)) - 1))])
