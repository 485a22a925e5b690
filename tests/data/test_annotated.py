import pytest

from rlaif.data.shapes import to_row
from rlaif.data.values import BadRecordError

SHOWN = {"prompt": "q", "response_1": "a", "response_2": "b"}


def golds(record):
    return [dict(response.gold) for response in to_row(1, record).responses]


def task(*choices, **more):
    result = [{"type": "choices", "from_name": "kind", "value": {"choices": list(choices)}}]
    return {"data": SHOWN, "annotations": [{"result": result, **more}]}


def test_several_people_make_a_share_and_a_tie_is_half():
    answers = [{"value": value} for value in ("response_1", "response_1", "response_2", "tie")]
    first, second = golds({"fields": SHOWN, "responses": {"kind": answers}})
    assert first == {"kind": 2.5 / 4} and second == {"kind": 1.5 / 4}
    assert golds(task("tie")) == [{"kind": 0.5}] * 2


def test_nobody_has_answered():
    assert golds({"fields": SHOWN, "responses": {}}) == golds({"fields": SHOWN, "responses": None}) == [{}, {}]
    assert golds(task("response_1", was_cancelled=True)) == [{}, {}]


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"fields": {"text": "x"}, "responses": {}}, "what rlaif exported"),
        ({"fields": "x", "responses": {}}, "what rlaif exported"),
        ({"fields": SHOWN, "responses": {"kind": [{"value": "good"}]}}, "kind: expected response_1, response_2 or tie"),
        ({"fields": SHOWN, "responses": {"kind": [{"value": ["response_1"]}]}}, "kind: expected"),
        ({"fields": SHOWN, "responses": {"kind": ["response_1"]}}, "objects with a value"),
        ({"fields": SHOWN, "responses": [1]}, "an object with a list"),
        (task("a", "b"), "one choice each"),
        ({"data": SHOWN, "annotations": 5}, "one choice each"),
        ({"data": SHOWN, "annotations": [{"result": None}]}, "one choice each"),
        ({"data": SHOWN, "annotations": ["x"]}, "one choice each"),
    ],
)
def test_what_is_no_answer_is_said(record, words):
    with pytest.raises(BadRecordError, match=words):
        to_row(1, record)
