"""What is asked of an engine is kept as it comes."""

import asyncio
import math

import pytest

from rlaif.critic.answers import answered
from rlaif.critic.store import VerdictStore
from rlaif.engines.base import Choice, Failure, FailureReason, Generation
from rlaif.errors import RunFailed


class Engine:
    def __init__(self, piece=None):
        self.calls = []
        if piece:
            self.piece = piece

    async def choose(self, prompts):
        self.calls.append(prompts)
        await asyncio.sleep(0.01 * len(self.calls))
        if "broken" in prompts:
            raise RunFailed("gone")
        bad = Failure(FailureReason.ENGINE_ERROR, "bad")
        return [bad if prompt == "bad" else Choice((-1.0, -2.0), 0.5, prompt, 1) for prompt in prompts]


@pytest.fixture
def store(tmp_path):
    with VerdictStore(tmp_path / "store.sqlite") as store:
        yield store


def ask(engine, prompts, store):
    return asyncio.run(answered(engine, {prompt.encode(): prompt for prompt in prompts}, engine.choose, store)).answers


def test_an_engine_is_asked_in_one_call(store):
    engine = Engine()
    found = ask(engine, ["a", "bad", "c"], store)
    assert engine.calls == [["a", "bad", "c"]] and [*found] == [b"a", b"bad", b"c"]
    assert store.get([*found]) == {b"a": found[b"a"], b"c": found[b"c"]}
    assert ask(engine, [], store) == {} and len(engine.calls) == 1


def test_or_in_pieces_where_it_says_so(store):
    engine = Engine(piece=2)
    found = ask(engine, ["a", "b", "c"], store)
    assert engine.calls == [["a", "b"], ["c"]] and [*found] == [b"a", b"b", b"c"]


def test_what_was_answered_before_the_end_is_kept(store):
    with pytest.raises(RunFailed):
        ask(Engine(piece=1), ["a", "b", "broken", "d"], store)
    assert [*store.get([b"a", b"b", b"broken", b"d"])] == [b"a", b"b"]


def test_what_is_stored_is_not_asked_again_and_what_failed_in_passing_is(store):
    engine = Engine()
    first = ask(engine, ["a", "bad"], store)
    assert ask(engine, ["bad", "a", "b"], store)[b"a"] == first[b"a"]
    assert engine.calls == [["a", "bad"], ["bad", "b"]]


def together(engine, store, *calls, stop=None):
    """What several callers are answered who ask at the same time; ``stop`` is the number of one who is cancelled at once."""

    async def work():
        wanted = [{prompt.encode(): prompt for prompt in prompts} for prompts in calls]
        tasks = [asyncio.create_task(answered(engine, some, engine.choose, store)) for some in wanted]
        await asyncio.sleep(0.001)
        if stop is not None:
            tasks[stop].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(work())


def test_two_who_ask_the_same_at_once_are_answered_by_one_call(store):
    engine = Engine()
    one, other = together(engine, store, ["a", "bad"], ["b", "bad", "a"])
    assert engine.calls == [["a", "bad"], ["b"]]
    assert (one.asked, other.asked) == (2, 1)
    assert other.answers[b"a"] is one.answers[b"a"] and other.answers[b"bad"] == one.answers[b"bad"]
    assert not store.under_way


def test_who_waits_for_a_call_that_was_stopped_asks_itself(store):
    engine = Engine()
    stopped, other = together(engine, store, ["a"], ["a"], stop=0)
    assert isinstance(stopped, asyncio.CancelledError) and other.answers[b"a"].raw == "a"
    assert engine.calls == [["a"], ["a"]] and not store.under_way


def test_who_waits_for_a_call_that_broke_meets_the_error_itself(store):
    engine = Engine()
    assert [type(error) for error in together(engine, store, ["broken"], ["broken"])] == [RunFailed, RunFailed]
    assert len(engine.calls) == 2 and not store.under_way


def test_where_another_process_was_faster_its_answer_stays(store, tmp_path):
    class Slow(Engine):
        async def choose(self, prompts):
            with VerdictStore(tmp_path / "store.sqlite") as other:
                other.put([(b"a", Choice((-3.0, -1.0), 0.4, "theirs", 1))])
            return await super().choose(prompts)

    assert ask(Slow(), ["a"], store)[b"a"].raw == "theirs"


@pytest.mark.parametrize(
    "broken",
    [
        Choice((math.nan, -1.0), 0.5, "A", 1),
        Choice((-1.0, 2.0), 0.5, "A", 1),
        Choice((-1.0, -1.0), math.nan, "A", 1),
        Choice((), 0.5, "A", 1),
        [Generation("hi", (1, 2), (-0.5, math.nan), "stop")],
        [Generation("hi", (1, 2), (-0.5,), "stop")],
        [],
    ],
)
def test_what_no_model_says_is_listed_and_never_kept(store, broken):
    class Broken(Engine):
        async def choose(self, prompts):
            return [broken if prompt == "broken" else Choice((-1.0, -2.0), 0.5, prompt, 1) for prompt in prompts]

    found = ask(Broken(), ["a", "broken", "c"], store)
    failure = found[b"broken"]
    assert failure.reason is FailureReason.ENGINE_ERROR and "cannot be used" in failure.detail
    assert isinstance(found[b"a"], Choice) and store.get([*found]).keys() == {b"a", b"c"}


def test_a_piece_ends_where_a_group_does_unless_the_group_is_larger(store):
    engine = Engine(piece=4)
    prompts = ["a1", "a2", "a3", "b1", "b2", "c1", "c2", "d1", "d2", "d3", "d4", "d5", "e1"]
    wanted = {prompt.encode(): prompt for prompt in prompts}
    found = asyncio.run(answered(engine, wanted, engine.choose, store, lambda prompt: prompt[0]))
    assert sorted(engine.calls) == [["a1", "a2", "a3"], ["b1", "b2", "c1", "c2"], ["d1", "d2", "d3", "d4"], ["d5", "e1"]]
    assert list(found.answers) == list(wanted)
