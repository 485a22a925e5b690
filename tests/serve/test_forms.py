import pytest
from pydantic import TypeAdapter, ValidationError

from rlaif.api.judging import Order, Preference, Rating
from rlaif.constitution.types import Constitution
from rlaif.critic.verdict import Comparison, Failure, FailureReason, Score
from rlaif.serve import forms

WHY = Failure(FailureReason.REFUSED, "no")


@pytest.fixture
def constitution():
    return Constitution.load("concise")


def test_a_verdict_and_a_failure_are_told_apart(constitution):
    said = Preference(None, {"kind": Comparison(0.7, 0.1, 0.9, ("A", "B")), "short": WHY})
    answer = forms.comparison(said, constitution).model_dump()
    assert answer["p"] is None and answer["principles"]["kind"] == {"p": 0.7, "gap": 0.1, "mass": 0.9}
    assert answer["principles"]["short"] == {"reason": "refused", "detail": "no"}
    assert answer["constitution"] == {"name": "concise", "digest": constitution.digest}
    ranked = forms.ranking(Order((1,), (None, 0.7), {(0, 1): said}), constitution)
    assert ranked.pairs[0].places == (0, 1) and ranked.values == [None, 0.7]
    scored = forms.rating(Rating(0.5, {"kind": Score(0.5, (0.25, 0.75), 0.9, ("9",)), "short": WHY}), constitution)
    assert scored.principles["kind"].distribution == [0.25, 0.75] and scored.principles["short"].reason == "refused"


def test_trainers_requests_are_told_apart_by_their_keys():
    either = TypeAdapter(forms.OpenRlhfRequest | forms.LlamaFactoryRequest)
    assert isinstance(either.validate_python({"query": ["x"], "prompts": ["x"], "labels": [None]}), forms.OpenRlhfRequest)
    assert isinstance(either.validate_python({"model": "model", "messages": ["x"]}), forms.LlamaFactoryRequest)
    with pytest.raises(ValidationError):
        either.validate_python({})
