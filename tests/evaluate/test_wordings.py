"""Other wordings: the row's own, or a model's, each once; and where they go."""

import asyncio

import pytest

from rlaif.critic.store import VerdictStore
from rlaif.data.rows import Row
from rlaif.engines.base import Failure, FailureReason, Generation, Sampling
from rlaif.errors import UsageError
from rlaif.evaluate.wordings import asked, given, put, reworded

TALK = (
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "yes?"},
    {"role": "user", "content": "What is  it?"},
)


def row(number=1, **extra):
    return Row(number, str(number), TALK, (), extra=extra)


def test_the_own_wording_comes_first_and_each_once():
    assert given(row(rewordings=["Which is it?", "What is it?", "Which  is it?"])) == ["What is  it?", "Which is it?"]
    assert given(row()) == given(row(rewordings=None)) == ["What is  it?"]


@pytest.mark.parametrize("value", ["a text", [1], [""], {"a": 1}])
def test_what_is_no_list_of_texts_is_refused(value):
    with pytest.raises(UsageError, match="row 1: rewordings must be a list of texts"):
        given(row(rewordings=value))


def test_the_last_user_turn_is_replaced():
    other = put(row(), "Which one?")
    assert asked(other.conversation) == "Which one?" and other.conversation[:2] == TALK[:2] and not other.responses


class Rewriter:
    identity = "rewriter"
    in_pieces = False
    texts = (("Which is it?", "stop"), (" Which is it? ", "stop"), ("", "stop"), ("It is cut", "length"))

    def __init__(self):
        self.asked = []

    async def generate(self, prompts, sampling):
        self.asked += prompts
        texts = [Generation(text, (), (), finish, 1) for text, finish in self.texts]
        return [Failure(FailureReason.REFUSED, "no") if "hello" in str(prompt) else texts for prompt in prompts]


def test_a_model_writes_them_and_what_it_does_not_finish_is_left_out(tmp_path):
    engine = Rewriter()
    other = Row(2, "2", ({"role": "user", "content": "hello"},), ())
    with VerdictStore(tmp_path / "s.sqlite") as store:
        for _ in range(2):
            found = asyncio.run(reworded(engine, store, [row(), other], 4, Sampling(64, 1.0)))
            assert found == [["What is  it?", "Which is it?"], ["hello"]]
    first = engine.asked[0]
    assert [segment.text for message in first for segment in message.segments if not segment.trusted][-1] == "What is  it?"
    assert len([prompt for prompt in engine.asked if prompt == first]) == 1  # the second time the store answers
