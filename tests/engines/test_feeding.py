"""An engine that is fed while it runs, by one that takes a step a request and two requests a step."""

import threading
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest

from rlaif.engines.feeding import Feeder
from rlaif.errors import RunFailed


class Engine:
    """Answers two requests a step, each by its prompt and params. gate: a step waits for it. bad: a prompt that is refused;
    fatal: one at which a step fails."""

    def __init__(self, bad=None, fatal=None):
        self.waiting, self.steps, self.aborted = {}, [], []
        self.bad, self.fatal, self.gate = bad, fatal, threading.Event()
        self.gate.set()

    def add_request(self, name, prompt, params):
        if prompt == self.bad:
            raise ValueError("no such prompt")
        self.waiting[name] = prompt, params

    def abort_request(self, names):
        self.aborted += [self.waiting.pop(name)[0] for name in names if name in self.waiting]

    def step(self):
        assert self.gate.wait(10)
        now = dict(list(self.waiting.items())[:2])
        self.waiting = {name: asked for name, asked in self.waiting.items() if name not in now}
        self.steps.append([prompt for prompt, _ in now.values()])
        if self.fatal in self.steps[-1]:
            raise RuntimeError("out of memory")
        return [SimpleNamespace(request_id=name, finished=True, said=asked) for name, asked in now.items()]


def said(future):
    return [output.said for output in future.result(10)]


@pytest.fixture
def feeding():
    made = []

    def make(**settings):
        engine = Engine(**settings)
        made.append(Feeder(engine, "test"))
        return engine, made[-1]

    yield make
    for feeder in made:
        feeder.close()


def test_answers_come_back_in_the_order_of_their_call(feeding):
    _, feeder = feeding()
    futures = [feeder.ask([f"{call}{n}" for n in range(5)], [call] * 5) for call in range(4)]
    for call, future in enumerate(futures):
        assert said(future) == [(f"{call}{n}", call) for n in range(5)]
    assert said(feeder.ask([], [])) == []


def test_calls_share_a_step_so_that_none_ends_half_empty(feeding):
    engine, feeder = feeding()
    engine.gate.clear()
    first = feeder.ask(["warm"], [0])
    futures = [feeder.ask([f"{call}{n}" for n in range(3)], [call] * 3) for call in "abcd"]
    while feeder._waiting.qsize() == 5:  # the first one has to be under way
        pass
    engine.gate.set()
    said(first), [said(future) for future in futures]
    assert sum(map(len, engine.steps)) == 13 and len(engine.steps) <= 8  # 9 where each call is ended before the next


def test_what_the_engine_refuses_concerns_its_call_alone(feeding):
    engine, feeder = feeding(bad="bad")
    engine.gate.clear()
    good, wrong = feeder.ask(["x", "y"], [1, 2]), feeder.ask(["z", "bad"], [3, 4])
    engine.gate.set()
    with pytest.raises(ValueError, match="no such prompt"):
        wrong.result(10)
    assert said(good) == [("x", 1), ("y", 2)]
    assert engine.aborted == ["z"] or ["z"] in engine.steps


def test_an_engine_that_fails_ends_what_it_was_asked(feeding):
    _, feeder = feeding(fatal="y")
    with pytest.raises(RunFailed, match="vLLM has failed: RuntimeError out of memory"):
        feeder.ask(["x", "y", "z"], [1, 2, 3]).result(10)
    assert said(feeder.ask(["w"], [4])) == [("w", 4)]


def test_an_output_that_cannot_be_read_ends_its_call_with_an_error(feeding, monkeypatch):
    engine, feeder = feeding()
    monkeypatch.setattr(engine, "step", lambda: [SimpleNamespace(request_id="ask-0")])
    with pytest.raises(RunFailed, match="vLLM has failed: AttributeError"):
        feeder.ask(["x"], [1]).result(10)
    monkeypatch.undo()
    assert said(feeder.ask(["w"], [4])) == [("w", 4)]


def test_a_call_that_is_cancelled_takes_its_requests_back(feeding):
    engine, feeder = feeding()
    engine.gate.clear()
    left, kept = feeder.ask(["a", "b", "c", "d"], [0] * 4), feeder.ask(["e"], [1])
    while not engine.waiting:
        pass
    assert left.cancel()
    engine.gate.set()
    assert said(kept) == [("e", 1)]
    assert len(engine.aborted) + sum(map(len, engine.steps)) == 5 and engine.aborted


def test_closing_cancels_what_is_under_way(feeding):
    engine, feeder = feeding()
    engine.gate.clear()
    future = feeder.ask(["a", "b", "c", "d", "e"], [0] * 5)
    while not engine.waiting:
        pass
    closing = threading.Thread(target=feeder.close)
    closing.start()
    while not feeder._closed:
        pass
    engine.gate.set()
    closing.join(10)
    with pytest.raises(CancelledError):
        future.result(10)
    with pytest.raises(RuntimeError, match="closed"):
        feeder.ask(["f"], [0])
