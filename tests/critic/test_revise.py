"""One round of critique and revision: what is asked, how answers are read, and what names them in the store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.constitution.types import Constitution, Example, Principle
from rlaif.critic.examples import critique_shots
from rlaif.critic.revise import Draft, Reviser
from rlaif.critic.store import VerdictStore
from rlaif.critic.templates import load_template
from rlaif.data.rows import Response, Row
from rlaif.engines.base import Failure, FailureReason, Generation, Sampling
from tests.critic.test_templates import HOSTILE, structure, turn

TEMPLATE = load_template("revise")
KIND = Principle("kind", "Be kind.", wordings={"critique": "What is rude?", "revise": "Be kinder."})


class Echo:
    """An engine that answers by a function of the prompt and remembers what it was asked."""

    identity = "echo"

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    async def generate(self, prompts, sampling):
        self.asked += prompts
        found = [self.answer(prompt) for prompt in prompts]
        return [one if isinstance(one, Failure) else [one] for one in found]


def said(text, finish="stop"):
    return Generation(text, (), (), finish)


def draft(text="bad", name="1", **extra):
    return Draft(Row(1, name, (turn("user", "q"),), (Response((turn("assistant", text),)),), extra=extra), 0)


@pytest.fixture
def reviser(tmp_path):
    with VerdictStore(tmp_path / "s.sqlite") as store:
        echo = Echo(lambda prompt: said("a critique" if len(prompt) == 2 else "better"))
        yield Reviser(echo, TEMPLATE, Constitution("c", 1, (KIND,)), store, Sampling(9, 1.0))


def advance(reviser, *drafts, number=1):
    return asyncio.run(reviser.advance(drafts, number))


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_content_changes_the_structure(conversation, response, critique):
    def rendered(*texts):
        turns = [turn("user", texts[0])], [[turn("assistant", texts[1])]]
        return structure(TEMPLATE.render("w", *turns, rationale=texts[2], request="r"))

    assert rendered(conversation, response, critique) == rendered("a", "b", "c")


def test_the_second_request_goes_on_from_the_first_with_the_critique(reviser):
    (done,) = advance(reviser, draft())
    first, second = reviser.engine.asked
    assert second[: len(first)] == first
    assert [message.role for message in second[len(first) :]] == ["assistant", "user"]
    assert "What is rude?" in first[-1].text and second[-2].text == "a critique" and "Be kinder." in second[-1].text
    assert [segment.trusted for segment in second[-2].segments] == [False]
    assert [(one.principle, one.critique, one.text) for one in done.revisions] == [(KIND, "a critique", "better")]
    assert (done.original, done.text) == ("bad", "better")


@pytest.mark.parametrize("step", ["critique", "revision"])
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (said("half a tex", "length"), FailureReason.TRUNCATED),
        (said(" \n"), FailureReason.PARSE_FAILED),
        (Failure(FailureReason.TOO_LONG, "2000 tokens"), FailureReason.TOO_LONG),
    ],
)
def test_what_is_no_text_is_a_failure_with_its_step(reviser, step, answer, reason):
    good = said("fine")
    reviser.engine.answer = lambda prompt: answer if (len(prompt) == 2) == (step == "critique") else good
    (done,) = advance(reviser, draft())
    assert done.revisions == () and done.failed.principle == KIND
    assert done.failed.failure.reason == reason and done.failed.failure.detail.startswith(step)
    assert advance(reviser, done, number=2) == [done]
    assert len(reviser.engine.asked) == (1 if step == "critique" else 2)


def test_tags_around_a_revision_are_not_part_of_it(reviser):
    reviser.engine.answer = lambda prompt: said("<response>\nbetter\n</response>\n")
    (done,) = advance(reviser, draft())
    assert done.revisions[0].critique == "<response>\nbetter\n</response>" and done.text == "better"
    reviser.engine.answer = lambda prompt: said("say <response> and </response>")
    assert advance(reviser, draft("other"))[0].text == "say <response> and </response>"


def test_drafts_come_back_in_their_order_whatever_becomes_of_each(reviser):
    when = replace(KIND, when={"tag": ("x",)})
    picky = replace(reviser, constitution=Constitution("c", 1, (when,)))
    picky.engine.answer = lambda prompt: said("", "stop") if "worst" in prompt[1].text else said(prompt[1].text[-400:][:5])
    drafts = [draft("a", "1", tag="x"), draft("b", "2"), draft("worst", "3", tag="x"), draft("d", "4", tag="x")]
    found = advance(picky, *drafts)
    assert [one.row.id for one in found] == ["1", "2", "3", "4"]
    assert [one.failed and one.failed.failure.reason for one in found] == [
        None, FailureReason.BAD_ROW, FailureReason.PARSE_FAILED, None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "critiques", "revisions"),
    [
        ({}, 0, 0),
        ({"seed": 5}, 0, 0),  # one principle only, so the same is drawn
        ({"sampling": Sampling(9, 0.5)}, 1, 1),
        ({"sampling": Sampling(10, 1.0)}, 1, 1),
        ({"sampling": Sampling(9, 1.0, seed=1)}, 1, 1),
        ({"constitution": Constitution("c", 1, (replace(KIND, weight=3.0),))}, 0, 0),
        ({"constitution": Constitution("c", 1, (replace(KIND, wordings={**KIND.wordings, "revise": "!"}),))}, 0, 1),
        ({"constitution": Constitution("c", 1, (replace(KIND, wordings={**KIND.wordings, "critique": "!"}),))}, 1, 1),
        ({"template": replace(TEMPLATE, version=2)}, 1, 1),
    ],
)
def test_only_what_shapes_an_answer_asks_again(reviser, change, critiques, revisions):
    advance(reviser, draft())
    reviser.engine.asked.clear()
    advance(replace(reviser, **change), draft())
    lengths = [len(prompt) for prompt in reviser.engine.asked]
    assert (lengths.count(2), lengths.count(4)) == (critiques, revisions)


def test_a_failure_that_may_pass_is_asked_again_and_a_lasting_one_is_not(reviser):
    for reason, asked in ((FailureReason.ENGINE_ERROR, 2), (FailureReason.REFUSED, 1)):
        reviser.engine.asked.clear()
        reviser.engine.answer = lambda prompt, reason=reason: Failure(reason)
        advance(reviser, draft(str(reason)))
        advance(reviser, draft(str(reason)))
        assert len(reviser.engine.asked) == asked


def test_of_two_answers_to_one_question_the_stored_one_is_used_by_both(reviser):
    number = iter(range(9))
    reviser.engine.answer = lambda prompt: said(f"text {next(number)}")

    async def both():
        return await asyncio.gather(reviser.advance([draft()], 1), reviser.advance([draft()], 1))

    (first,), (second,) = asyncio.run(both())
    assert first == second == advance(reviser, draft())[0]


@given(st.integers(0, 3))
def test_shots_are_the_worse_response_its_critique_and_the_better_one(most):
    bare, told = (Example((turn("user", f"q{n}"),), f"b{n}", f"w{n}", critique) for n, critique in ((0, ""), (1, "is rude")))
    asked_about = Example((turn("user", "this"),), "b2", "w2", "is rude too")
    principle = replace(KIND, examples=(bare, asked_about, told))
    shots = critique_shots(principle, most, [turn("user", "this")])
    assert len(shots) == min(most, 1)
    prompt = TEMPLATE.render("w", [turn("user", "q")], [[turn("assistant", "r")]], shots, request="again")
    plain = TEMPLATE.render("w", [turn("user", "q")], [[turn("assistant", "r")]])
    assert prompt[0] == plain[0] and prompt[-1] == plain[-1]
    if shots:
        assert [message.role for message in prompt[1:-1]] == ["user", "assistant", "user", "assistant"]
        assert [prompt[2].text, prompt[4].text] == ["is rude", "b1"] and "w1" in prompt[1].text and "again" in prompt[3].text
        assert all(segment.trusted for message in prompt[:-1] for segment in message.segments)
