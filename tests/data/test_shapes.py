import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.data.rows import Row
from rlaif.data.shapes import shape_of, to_row
from rlaif.data.turns import hh_turns
from rlaif.data.values import BadRecordError, NoShapeError, plain

NAMES = {"user": "Human", "assistant": "Assistant"}
text = st.text(st.characters(codec="utf-8"), max_size=40)
turns = st.lists(st.tuples(st.sampled_from(sorted(NAMES)), text), min_size=1, max_size=6)


def said(*contents: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[at % 2], "content": content} for at, content in enumerate(contents)]


def contents(row: Row) -> tuple[list[str], list[list[str]]]:
    return (
        [turn["content"] for turn in row.conversation],
        [[turn["content"] for turn in response.turns] for response in row.responses],
    )


@given(turns)
def test_a_transcript_holds_every_character_of_its_text(pairs: list[tuple[str, str]]) -> None:
    whole = "".join(f"\n\n{NAMES[role]}: {content}" for role, content in pairs)
    assert "".join(f"\n\n{NAMES[turn['role']]}: {turn['content']}" for turn in hh_turns(whole)) == whole


@given(turns, turns, turns)
def test_whole_conversations_part_where_they_first_differ(shared: Any, first: Any, second: Any) -> None:
    def listed(pairs: Any) -> list[dict[str, str]]:
        return [{"role": role, "content": content} for role, content in pairs]

    row = to_row(1, {"chosen": listed(shared + first), "rejected": listed(shared + second)})
    assert list(row.conversation)[: len(shared)] == listed(shared)
    for response, rest in zip(row.responses, (first, second), strict=True):
        assert response.turns
        assert [*row.conversation, *response.turns] == listed(shared + rest)
    ways = [response.turns[0] for response in row.responses]
    assert ways[0] != ways[1] or min(len(response.turns) for response in row.responses) == 1
    assert row.preferred == 0


def test_hh_pair_with_a_shared_history() -> None:
    start = "\n\nHuman: hi\n\nAssistant: hello\n\nHuman: why?"
    row = to_row(3, {"chosen": start + "\n\nAssistant: because", "rejected": start + "\n\nAssistant: no\n\nHuman: oh"})
    assert contents(row) == (["hi", "hello", "why?"], [["because"], ["no", "oh"]])


@pytest.mark.parametrize(
    ("record", "conversation", "responses"),
    [
        ({"prompt": "q", "responses": ["a", "b", ""]}, ["q"], [["a"], ["b"], [""]]),
        ({"prompt": "q", "responses": [{"text": "a", "model": "m"}]}, ["q"], [["a"]]),
        ({"prompt": said("q", "r", "s"), "responses": [said("x")]}, ["q", "r", "s"], [["x"]]),
        ({"prompt": "q", "responses": [said("q", "a"), [*said("q", "b")]]}, ["q"], [["a"], ["b"]]),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, ["q"], [["a"], ["b"]]),
        ({"prompt": "q", "chosen": said("q", "a"), "rejected": said("q", "b")}, ["q"], [["a"], ["b"]]),
        (
            {"prompt": "s", "chosen": said("q", "r", "s", "a"), "rejected": said("q", "r", "s", "b")},
            ["q", "r", "s"],
            [["a"], ["b"]],
        ),
        ({"prompt": said("q"), "chosen": said("q", "a"), "rejected": "b"}, ["q"], [["a"], ["b"]]),
        ({"prompt": "q"}, ["q"], []),
        ({"prompt": np.array(said("q"), dtype=object), "responses": np.array(["a", "b"])}, ["q"], [["a"], ["b"]]),
    ],
)
def test_accepted_shapes(record: dict[str, Any], conversation: list[str], responses: list[list[str]]) -> None:
    assert contents(to_row(1, record)) == (conversation, responses)


def test_a_system_turn_before_a_repeated_prompt_joins_the_conversation() -> None:
    system = {"role": "system", "content": "be kind"}
    row = to_row(1, {"prompt": "q", "chosen": [system, *said("q", "a")], "rejected": [system, *said("q", "b")]})
    assert [turn["role"] for turn in row.conversation] == ["system", "user"]


def test_what_rides_along() -> None:
    record = {
        "id": 7,
        "prompt": "q",
        "responses": [{"text": "a", "model": "m", "gold": {"polite": 1, "brief": None}}],
        "chosen": "kept",
        "source": "s",
    }
    row = to_row(4, record)
    assert (row.id, row.number) == ("7", 4)
    assert row.extra == {"chosen": "kept", "source": "s"}
    assert row.responses[0].extra == {"model": "m"}
    assert row.responses[0].gold == {"polite": 1.0}
    assert row.preferred is None


def test_a_row_without_id_goes_by_its_number() -> None:
    assert to_row(12, {"prompt": "q"}).id == "12"


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ({"prompt": None, "responses": ["a"]}, "prompt: must be a text or a list of messages, found nothing"),
        ({"prompt": float("nan")}, "prompt: .*found nothing"),
        ({"prompt": " "}, "prompt: an empty text"),
        ({"prompt": []}, "prompt: an empty list"),
        ({"prompt": "q", "responses": ["a", 3]}, "response 2: .*found a number"),
        ({"prompt": "q", "responses": ["a", None]}, "response 2: .*found nothing"),
        ({"prompt": "q", "responses": "a"}, "responses: must be a list .*found a text"),
        ({"prompt": "q", "responses": []}, "responses: an empty list"),
        ({"prompt": "q", "responses": [{"content": "a"}]}, "response 1: an object needs the key text, found content"),
        ({"prompt": "q", "responses": [{"text": "a", "gold": {"x": "high"}}]}, "gold of x: must be a number, found a text"),
        ({"prompt": "q", "responses": [{"text": "a", "gold": {"x": True}}]}, "gold of x: must be a number, found true"),
        (
            {"prompt": [{"role": "human", "content": "q"}]},
            "role must be one of system, developer, user, assistant, tool, found 'human'",
        ),
        ({"prompt": [{"from": "alien", "value": "q"}]}, "from must be one of system, human, .*found 'alien'"),
        ({"prompt": [{"said": "q"}]}, "role and content, found an object with said"),
        ({"prompt": [{"role": "user", "content": None}]}, "message 1, content: must be a text, found nothing"),
        ({"prompt": "q", "chosen": said("q"), "rejected": "b"}, "chosen: repeats the prompt and answers nothing"),
        ({"chosen": "an answer", "rejected": "another"}, "add a prompt column"),
        ({"chosen": said("q", "a"), "rejected": said("r", "b")}, "share no first turn"),
        ({"prompt": "q", "responses": ["\ud800"]}, "response 1: not valid UTF-8"),
        ({"prompt": "q", "tag": "\udcff"}, "tag: not valid UTF-8"),
    ],
)
def test_bad_values_say_where_and_what(record: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRecordError, match=says):
        to_row(1, record)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (["instruction", "output"], "rename instruction to prompt, and put output into one list, responses"),
        (["question", "response_A", "response_B", "response_model"], "put response_A, response_B into one list"),
        (["prompt", "chosen"], "rejected is missing"),
        (["responses"], "a prompt column is missing"),
        (["x"], "a row has one of"),
        ([], "found no columns"),
    ],
)
def test_columns_without_a_shape_name_the_nearest(columns: list[str], says: str) -> None:
    with pytest.raises(NoShapeError, match=says):
        shape_of(columns)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | text | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    )
)
def test_plain_values_are_json(value: Any) -> None:
    assert json.loads(json.dumps(plain("x", value), allow_nan=False)) == plain("x", value)


def test_values_of_other_libraries_become_plain() -> None:
    assert plain("x", [np.int64(3), np.array([1.5, np.nan]), pd.NaT]) == [3, [1.5, None], None]
    assert plain("x", pd.Timestamp("2024-01-02")) == "2024-01-02T00:00:00"
    assert plain("x", {"raw": b"\xff\x00", "text": b"abc"}) == {"raw": "/wA=", "text": "abc"}
