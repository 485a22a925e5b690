"""Requests that meet trouble: what is tried again, how long is waited, and what ends a run."""

import asyncio
import json
import random
from dataclasses import replace

import pytest

from rlaif.engines import client
from rlaif.engines.base import FailureReason
from rlaif.engines.client import Address, Client, Patience
from rlaif.engines.problem import NoReplyError, Problem
from rlaif.engines.replicas import Replica
from rlaif.engines.replies import BadReply
from rlaif.engines.wire import Reply
from rlaif.errors import RunFailed, UsageError

QUICK = Patience(pauses=(0.001,) * 7, brief=0.001, silence=60)


class FakeWire:
    """Answers with what ``reply(url, n)`` gives for the n-th request: (status, headers, content), or an error to raise."""

    def __init__(self, reply):
        self.reply, self.urls, self.flying, self.most = reply, [], 0, 0

    async def send(self, url, content):
        self.urls.append(url)
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            await asyncio.sleep(0.0002)  # as any reply, it takes longer than the loop needs for what is ready
            found = self.reply(url, len(self.urls))
            if asyncio.iscoroutine(found):
                found = await found
        finally:
            self.flying -= 1
        if isinstance(found, Exception):
            raise found
        status, headers, content = found
        return Reply(status, headers, json.dumps(content).encode())

    async def close(self):
        pass


@pytest.fixture
def ask(monkeypatch):
    """Send requests over a made-up wire; returns their results, or what ended the run."""
    monkeypatch.setattr(client, "PATIENCE", QUICK)

    def call(reply, many=1, urls=("http://one/v1",), look=None, at_first=8, read=lambda content: content["ok"], **options):
        wire = FakeWire(reply)

        async def never(_, server):
            return False

        async def go():
            servers = [Replica(url, at_first) for url in urls]
            asking = Client(Address.of(urls), servers, "m", at_first, look or never, lambda headers: wire)
            try:
                posts = (asking.post("x", {"n": n}, read, kind="test", **options) for n in range(many))
                return await asyncio.gather(*posts)
            finally:
                await asking.close()

        return asyncio.run(go()), wire

    return call


GOOD = (200, {}, {"ok": 1})


@pytest.mark.parametrize(
    "trouble",
    [
        NoReplyError("no"),
        (429, {}, {}),
        (503, {}, {}),
        (500, {}, {}),
        (404, {}, {}),
        (401, {}, {}),
        (200, {}, {}),
    ],
)
def test_what_passes_is_tried_again(ask, trouble):
    def read(content):
        if not content:
            raise BadReply("nothing in it")
        return content["ok"]

    (found,), wire = ask(lambda url, n: trouble if n < 8 else GOOD, read=read)
    assert found == 1 and len(wire.urls) == 8


def test_a_request_that_is_refused_is_not_tried_again(ask):
    (found,), wire = ask(lambda url, n: (400, {}, {"error": {"message": "no such parameter"}}))
    assert found.kind == "refused" and len(wire.urls) == 1
    assert found.failure.reason is FailureReason.ENGINE_ERROR and "no such parameter" in found.failure.detail


def test_a_request_that_never_works_is_a_problem_of_its_own(ask):
    (found,), wire = ask(lambda url, n: (500, {}, {"error": {"message": "boom"}}))
    assert found.kind == "broken" and "http://one/v1: HTTP 500: boom" in found.words and len(wire.urls) == 8


def test_while_nothing_works_little_is_tried(ask):
    found, wire = ask(lambda url, n: (500, {}, {}), many=100, at_first=4)
    assert all(isinstance(one, Problem) for one in found) and len(wire.urls) < 100 * 6


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_lets_nobody_in_ends_the_run_with_its_words(ask, status):
    with pytest.raises(RunFailed, match=f"HTTP {status}: bad key.*the same command continues"):
        ask(lambda url, n: (status, {}, {"error": {"message": "bad key"}}), many=3)


def test_a_server_that_is_gone_ends_the_run(ask):
    with pytest.raises(RunFailed, match="no server answers any more"):
        ask(lambda url, n: NoReplyError("refused"), many=3)


def test_what_no_reply_ever_has_ends_the_run_with_what_helps(ask):
    def read(content):
        raise BadReply("it gives no log-probabilities", "use another server")

    with pytest.raises(RunFailed, match="no log-probabilities; use another server"):
        ask(lambda url, n: GOOD, read=read)


@pytest.mark.parametrize("drops", [0.3, 0.5])
def test_dropped_connections_end_no_healthy_run(ask, drops):
    rng = random.Random(0)
    found, wire = ask(lambda url, n: NoReplyError("") if rng.random() < drops else GOOD, many=500)
    answered = sum(one == 1 for one in found)
    assert answered >= 497 and len(wire.urls) < 500 * 8


def test_a_dead_server_costs_no_answer_and_is_told_once(ask, capsys):
    dead = "http://user:pass@two/v1"
    found, wire = ask(lambda url, n: NoReplyError("refused") if "two" in url else GOOD, 200, ["http://one/v1", dead])
    assert found == [1] * 200
    assert sum("two" in url for url in wire.urls) < 20
    assert capsys.readouterr().err.splitlines() == [
        "rlaif: http://two/v1 does not answer (refused); the other servers go on without it"
    ]


def test_a_server_that_comes_back_takes_part_again(ask, monkeypatch):
    monkeypatch.setattr("rlaif.engines.replicas.RESTS", (0.01,))
    back = []

    async def look(http, server):
        back.append(server.url)
        return len(back) > 2

    async def reply(url, n):
        await asyncio.sleep(0.002)
        return NoReplyError("refused") if "two" in url and len(back) <= 2 else GOOD

    found, wire = ask(reply, 300, ["http://one/v1", "http://two/v1"], look, at_first=2)
    assert found == [1] * 300 and back == ["http://two/v1"] * 3
    assert sum("two" in url for url in wire.urls) > 50


def test_a_hung_request_ends(ask, monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", replace(QUICK, deadline=0.4))

    async def reply(url, n):
        await asyncio.sleep(60 if n == 1 else 0)
        return GOOD

    (found,), wire = ask(reply)
    assert found == 1 and len(wire.urls) == 2


def test_the_user_is_told_of_silence_once(ask, monkeypatch, capsys):
    async def reply(url, n):
        await asyncio.sleep(0.3 if n < 9 else 0)
        return GOOD

    def quick_ask(**changes):
        monkeypatch.setattr(client, "PATIENCE", Patience(**{"pauses": (0.001,) * 7, "silence": 0.1, **changes}))
        return ask(reply, many=12)

    assert quick_ask()[0] == [1] * 12
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("rlaif: http://one/v1: no reply for 0 s; a request is asked again after 600 s")


def test_a_busy_server_is_given_less_and_a_willing_one_more(ask):
    async def bears(at_once, url, n):
        busy = wire_of[0] > at_once
        wire_of[0] += 1
        await asyncio.sleep(0.002)
        wire_of[0] -= 1
        return (429, {}, {}) if busy else GOOD

    wire_of = [0]
    found, wire = ask(lambda url, n: bears(4, url, n), many=400, at_first=32)
    assert found.count(1) >= 390 and len(wire.urls) < 400 * 2
    wire_of = [0]
    found, wire = ask(lambda url, n: bears(999, url, n), many=600, at_first=8)
    assert found == [1] * 600 and 8 < wire.most <= 32


def test_a_server_is_left_alone_for_as_long_as_it_asks(ask):
    times = []

    def reply(url, n):
        times.append(asyncio.get_running_loop().time())
        return (429, {"retry-after": "0.2"}, {}) if n == 1 else GOOD

    assert ask(reply)[0] == [1]
    assert times[1] - times[0] >= 0.2


def test_no_secret_leaves_with_the_words_of_a_server(ask, monkeypatch):
    monkeypatch.setenv("RLAIF_API_KEY", " sk-very-secret\n")
    address = Address.of(["http://me:p%40ss@word@one/v1"])
    assert address.headers == {"Authorization": "Bearer sk-very-secret"}
    said = {"error": {"message": "Bearer sk-very-secret, p%40ss@word, p@ss@word\x1b[2J\r\nto http://me:x@one"}}
    (found,), _ = ask(lambda url, n: (400, {}, said), urls=["http://me:p%40ss@word@one/v1"])
    assert "very" not in found.words and "word" not in found.words and "me:x" not in found.words
    assert found.words.isprintable()
    monkeypatch.setenv("RLAIF_API_KEY", "naïve\nkey")
    with pytest.raises(UsageError, match="RLAIF_API_KEY"):
        Address.of([])
