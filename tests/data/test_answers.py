from typing import Any

import pytest

from rlaif.data.answers import numbered, preferences
from rlaif.data.shapes import to_row
from rlaif.data.values import BadRecordError

TWO = {"prompt": "q", "response_a": "x", "response_b": "y"}


@pytest.mark.parametrize(
    ("said", "better"),
    [
        ({"winner": "model_a"}, 0),
        ({"winner": "b"}, 1),
        ({"winner": "Response B"}, 1),
        ({"winner": "tie"}, None),
        ({"winner": "tie (bothbad)"}, None),
        ({"label": "A>B"}, 0),
        ({"label": "[[B>>A]]"}, 1),
        ({"preference": "A=B"}, None),
        ({"winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0}, 0),
        ({"winner_model_a": "0", "winner_model_b": "1", "winner_tie": "0"}, 1),
        ({"winner_model_a": False, "winner_model_b": False, "winner_tie": True}, None),
        ({"better_response_id": 1}, 1),
        ({"better_response_id": "0"}, 0),
        ({"safer_response_id": 1}, 1),
        ({"preference_strength": -1}, 0),
        ({"overall_preference": 3}, 1),
        ({"overall_preference": 0}, None),
        ({"score_a": 0.1, "score_b": 0.7}, 1),
        ({"rank_a": 1, "rank_b": 2}, 0),
        ({"response_a_score": 3, "response_b_score": 2}, 0),
    ],
)
def test_what_is_known_of_two_answers(said: dict[str, Any], better: int | None) -> None:
    row = to_row(1, {**TWO, **said})
    assert row.preferred == better
    gold = [response.gold["overall"] for response in row.responses]
    assert (gold[0] == gold[1]) if better is None else (gold[better] > gold[1 - better])
    assert {name: row.extra[name] for name in said} == said


@pytest.mark.parametrize("said", [{}, {"winner": None}, {"label": 1}, {"label": "news"}, {"score_a": 1.0, "score_b": None}])
def test_nothing_is_known_where_nothing_is_said(said: dict[str, Any]) -> None:
    row = to_row(1, {**TWO, **said})
    assert len(row.responses) == 2
    assert row.preferred is None and not row.responses[0].gold


@pytest.mark.parametrize("said", [{"winner": "model_c"}, {"better_response_id": 2}, {"preference_strength": "much"}])
def test_what_cannot_be_understood_is_a_bad_row(said: dict[str, Any]) -> None:
    with pytest.raises(BadRecordError, match=next(iter(said))):
        to_row(1, {**TWO, **said})


def test_numbered_columns_are_in_order_of_their_numbers() -> None:
    found = numbered(["answer_10", "answer_2", "x", "answer_1", "response_9"])
    assert found and found.names == ("answer_1", "answer_2", "answer_10")
    assert preferences({"score_1": 1, "score_2": 2, "score_10": 3}, found) == [1.0, 2.0, 3.0]
    assert numbered(["response_a", "response", "answer_b"]) is None


def test_ratings_beside_a_list_must_be_as_many() -> None:
    with pytest.raises(BadRecordError, match="ratings: has 1 numbers for 2 answers"):
        to_row(1, {"prompt": "q", "responses": ["a", "b"], "ratings": [1]})


def test_right_answers_for_a_verifier_stay_columns() -> None:
    row = to_row(1, {"prompt": "q", "answers": ["4", "four"], "answer": "4"})
    assert not row.responses and row.extra == {"answers": ["4", "four"], "answer": "4"}
