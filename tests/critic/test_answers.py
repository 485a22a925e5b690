"""What is asked of an engine is kept as it comes."""

import asyncio

import pytest

from rlaif.critic.answers import fresh_answers
from rlaif.critic.store import VerdictStore
from rlaif.engines.base import Choice, Failure, FailureReason
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
    return asyncio.run(fresh_answers(engine, {prompt.encode(): prompt for prompt in prompts}, engine.choose, store))


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
    assert ask(Engine(piece=1), ["x"], None)[b"x"].raw == "x"
