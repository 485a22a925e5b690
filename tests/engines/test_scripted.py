import asyncio
import math

import pytest

from rlaif.engines.base import Choice, Failure, FailureReason, Message, Sampling, Segment
from rlaif.engines.scripted import ScriptedEngine
from rlaif.errors import UsageError


def prompt(text):
    return (Message("user", (Segment(text, False),)),)


def engine(tmp_path, text):
    (tmp_path / "s.yaml").write_text(text)
    return ScriptedEngine(tmp_path / "s.yaml")


def test_the_first_matching_rule_answers(tmp_path):
    script = engine(tmp_path, "rules: [{when: rude, choose: {A: 0.1, B: 0.8}}, {choose: {A: 0.6}, generate: Hm.}]")
    rude, other = asyncio.run(script.choose([prompt("so rude"), prompt("fine")], ["A", "B"]))
    assert rude == Choice((math.log(0.1), math.log(0.8)), pytest.approx(0.9), "B", 2)
    assert other.logprobs == (math.log(0.6), -math.inf) and other.raw == "A"
    texts = asyncio.run(script.generate([prompt("so rude")], Sampling(n=2)))
    assert [generation.text for generation in texts[0]] == ["Hm.", "Hm."]


def test_failures_are_drawn_by_the_prompt_alone(tmp_path):
    script = engine(tmp_path, "rules: [{fail: refused, rate: 0.3}, {choose: {A: 1.0}}]")
    prompts = [prompt(f"p{i}") for i in range(1000)]
    answers = asyncio.run(script.choose(prompts, ["A", "B"]))
    assert answers == asyncio.run(script.choose(prompts, ["A", "B"]))
    failed = [answer for answer in answers if isinstance(answer, Failure)]
    assert len(failed) / 1000 == pytest.approx(0.3, abs=0.05)
    assert {failure.reason for failure in failed} == {FailureReason.REFUSED}


def test_what_no_rule_answers_is_an_engine_error(tmp_path):
    script = engine(tmp_path, "rules: [{when: x, choose: {A: 1.0}}]")
    assert asyncio.run(script.choose([prompt("y")], ["A", "B"]))[0].reason is FailureReason.ENGINE_ERROR


def test_the_identity_is_the_content(tmp_path):
    one = engine(tmp_path, "rules: [{choose: {A: 1.0}}]").identity
    assert engine(tmp_path, "rules: [{choose: {A: 0.9}}]").identity != one
    assert engine(tmp_path, "rules: [{choose: {A: 1.0}}]").identity == one


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: [{choose: {A: 0.9, B: 0.2}}]", "rule 1: choose holds probabilities"),
        ("rules: [{choose: {A: 0.9}}, {fail: tired}]", "rule 2: .*tired"),
        ("rules: [{when: '(', choose: {A: 0.9}}]", "rule 1"),
        ("rules: [{whne: x}]", "rule 1: .*whne"),
        ("rules: [{choose: 3}]", "rule 1"),
        ("rule: []", "rules"),
        ("rules: [", "cannot be read"),
    ],
)
def test_unreadable_scripts_are_named(tmp_path, text, message):
    with pytest.raises(UsageError, match=message) as caught:
        engine(tmp_path, text)
    assert "s.yaml" in str(caught.value)


def test_labels_that_the_template_lacks_are_found_before_the_first_call(tmp_path):
    with pytest.raises(UsageError, match="'C' is not among"):
        engine(tmp_path, "rules: [{choose: {C: 1.0}}]").check_choices(["A", "B"])
