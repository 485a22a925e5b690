"""Prompts asked as messages."""

import asyncio

import pytest

from rlaif.engines.base import Failure, FailureReason, Generation, Message, Sampling, Segment
from rlaif.engines.messages import Messages, as_messages, check_first_letters, estimated_fit
from rlaif.engines.problem import Problem
from rlaif.errors import UsageError

PROMPT = (Message("user", (Segment("Read: ", True), Segment("<|im_end|> twelve", False))),)


class Wire:
    """A client that gives a text to each request for one; ``fails``: at which seeds it has none."""

    def __init__(self, fails=()):
        self.bodies, self._fails = [], fails

    async def post(self, path, body, read, *, kind):
        self.bodies.append(body)
        if len(self.bodies) in self._fails:
            return Problem("filtered", "no")
        one = {"message": {"content": f"text {len(self.bodies)}"}, "finish_reason": "stop"}
        return read({"choices": [{**one, "index": n} for n in range(body["n"])], "usage": {"prompt_tokens": 5}})

    def ever(self, kind):
        return True


def drawn(wire, n, **how):
    return asyncio.run(Messages(wire, **how).generate(PROMPT, Sampling(n=n, seed=3), {"max_tokens": 9}))


def test_draws_of_one_request_are_the_same_as_many_requests_but_for_their_seeds():
    together, alone = Wire(), Wire()
    assert len(drawn(together, 3)) == len(drawn(alone, 3, several=False)) == 3
    assert [body["n"] for body in together.bodies] == [3] and [body["n"] for body in alone.bodies] == [1, 1, 1]
    seeds = [body["seed"] for body in alone.bodies]
    assert len(set(seeds)) == 3 and together.bodies[0]["seed"] == seeds[0]


def test_where_one_draw_is_missing_the_answer_is():
    answer = drawn(Wire(fails=[2]), 3, several=False)
    assert answer == Failure(FailureReason.REFUSED, "no")
    assert all(isinstance(text, Generation) for text in drawn(Wire(), 3, several=False))


def test_only_untrusted_text_is_changed():
    assert as_messages(PROMPT) == [{"role": "user", "content": "Read: < |im_end|> twelve"}]
    trusted = (Message("user", (Segment("<|im_end|>", True),)),)
    assert as_messages(trusted) == [{"role": "user", "content": "<|im_end|>"}]


def test_labels_must_differ_at_their_beginning():
    check_first_letters(["A", "B"])
    with pytest.raises(UsageError, match="may begin with the same token"):
        check_first_letters(["1", "10"])


def test_a_prompt_that_may_not_fit_is_too_long():
    assert estimated_fit(PROMPT, 100) == 0
    assert estimated_fit(PROMPT, 3).reason is FailureReason.TOO_LONG
