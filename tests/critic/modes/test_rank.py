"""From a written list to a ranking, and from a ranking to pairs."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.critic.modes.rank import compared, ranking, reply_pattern, reply_tokens, schema
from rlaif.critic.verdict import FailureReason, Ranking
from rlaif.engines.base import Failure, Generation


def says(numbers, finish="stop", frame="{}"):
    return [Generation(frame.format(json.dumps({"ranking": numbers})), (), (), finish)]


@given(st.permutations(range(5)))
def test_both_directions_of_the_same_opinion_give_certain_pairs(best_first):
    forward = [index + 1 for index in best_first]
    backward = [5 - index for index in best_first]  # the list was shown from the last response to the first
    found = ranking([says(forward), says(backward)], 5)
    for first in range(5):
        for second in range(first + 1, 5):
            wins = best_first.index(first) < best_first.index(second)
            assert (compared(found, first, second).p, compared(found, first, second).gap) == (float(wins), 0.0)


def test_a_critic_that_copies_the_order_it_sees_has_no_opinion_and_a_gap():
    found = ranking([says([1, 2, 3]), says([1, 2, 3])], 3)
    assert found.places == ((0, 1, 2), (2, 1, 0))
    for pair in ((0, 1), (0, 2), (1, 2)):
        assert (compared(found, *pair).p, compared(found, *pair).gap) == (0.5, 1.0)


def test_one_order_has_no_gap_and_no_label_mass():
    verdict = compared(ranking([says([2, 1])], 2, "ab"), 0, 1)
    assert (verdict.p, verdict.gap, verdict.mass) == (0.0, None, None)
    assert compared(ranking([says([2, 1])], 2, "ba"), 0, 1).p == 1.0


def test_json_in_a_sentence_or_a_fence_is_read():
    assert isinstance(ranking([says([2, 1], frame="Sure: ```json\n{}\n```")], 2, "ab"), Ranking)


@pytest.mark.parametrize(
    "text",
    [
        "2, 1",
        "",
        '{"ranking": [1]}',
        '{"ranking": [1, 1]}',
        '{"ranking": [1, 3]}',
        '{"ranking": ["1", "2"]}',
        '{"ranking": [1, 2], "why": ""}',
        '{"ranking": [1, 2',
        "{" * 5000 + "}",
        '{"ranking": null}',
    ],
)
def test_any_other_reply_is_a_failure(text):
    found = ranking([[Generation(text, (), (), "stop")]], 2, "ab")
    assert found.reason is FailureReason.PARSE_FAILED


def test_a_cut_reply_and_half_a_ranking_are_failures():
    assert ranking([says([1, 2], "length")], 2, "ab").reason is FailureReason.TRUNCATED
    gone = Failure(FailureReason.ENGINE_ERROR, "gone")
    assert ranking([says([1, 2]), gone], 2) == Failure(FailureReason.ENGINE_ERROR, "ba: gone")


def test_the_schema_is_one():
    from jsonschema import Draft7Validator

    Draft7Validator.check_schema(schema(3))
    assert Draft7Validator(schema(3)).is_valid({"ranking": [3, 1, 2]})


@given(st.permutations(range(1, 12)))
def test_every_ranking_fits_the_pattern_and_its_room(numbers):
    text = json.dumps({"ranking": numbers})
    assert re.fullmatch(reply_pattern(11), text)
    assert not re.fullmatch(reply_pattern(11), text.replace("11", "12"))
    assert len(text) < 4 * reply_tokens(11)
