"""What a server's refusals teach."""

import pytest

from rlaif.engines.dialect import Dialect

ASKED = {"max_tokens": 1, "top_logprobs": 20}


@pytest.mark.parametrize(
    ("refusal", "top"),
    [
        ("http://127.0.0.1:8000/v1: HTTP 400: Invalid value for 'top_logprobs': must be less than or equal to 5.", 5),
        ("top_logprobs: Input should be between 0 and 8 (got 20)", 8),
        ("top_logprobs of 20 is not supported", 5),
        ("too many logprobs", 5),
        ("temperature must be at most 2", 20),
    ],
)
def test_a_limit_of_log_probabilities_is_taken_from_the_refusal(refusal, top):
    dialect = Dialect()
    dialect.learn(refusal, dialect.spoken(ASKED))
    assert dialect.spoken(ASKED) == {"max_tokens": 1, "top_logprobs": top}


def test_what_others_have_learned_meanwhile_is_not_learned_twice():
    dialect = Dialect()
    spoken = dialect.spoken(ASKED)
    for _ in range(3):
        dialect.learn("too many logprobs", spoken)
    assert dialect.top == 5


def test_limits_are_found_to_the_last():
    dialect = Dialect()
    for _ in range(5):
        dialect.learn("too many logprobs", dialect.spoken(ASKED))
    assert dialect.top == 2


def test_another_name_for_the_longest_answer():
    dialect = Dialect()
    dialect.learn("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", ASKED)
    assert dialect.spoken(ASKED) == {"max_completion_tokens": 1, "top_logprobs": 20}
    assert ASKED == {"max_tokens": 1, "top_logprobs": 20}
