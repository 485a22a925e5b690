import asyncio

import pytest

from rlaif.errors import UsageError
from rlaif.serve.guard import KEYS, keys_from_environment

EGG = {"prompt": "q", "a": "good", "b": "bad"}


def ask(served, path="/v1/compare", method="POST", **more):
    async def once():
        async with served.client() as client:
            return await client.request(method, path, **more)

    return asyncio.run(once())


async def raw(served, *messages, path="/v1/compare", headers=()):
    """The status and headers that the application sends where ``messages`` arrive, and then nothing more."""
    arriving, sent = list(messages), []
    never = asyncio.Event()

    async def receive():
        if not arriving:
            await never.wait()
        return arriving.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "headers": [(b"content-type", b"application/json"), *headers],
        "server": ("served", 80),
        "client": ("there", 1),
    }
    await asyncio.wait_for(served.app(scope, receive, send), 30)
    return (sent[0]["status"], dict(sent[0]["headers"])) if sent else None


def piece(content, more=True):
    return {"type": "http.request", "body": content, "more_body": more}


def test_with_keys_one_must_be_shown(serve):
    served = serve(keys=[b"first-key", b"second-key"])
    for shown in ({}, {"Authorization": "Bearer wrong-key"}, {"Authorization": "Basic !"}, {"Authorization": "first-key"}):
        answer = ask(served, json=EGG, headers=shown)
        assert answer.status_code == 401 and KEYS in answer.json()["detail"] and answer.headers["www-authenticate"] == "Bearer"
        assert ask(served, "/metrics", "GET", headers=shown).status_code == 401
    assert ask(served, json=EGG, headers={"Authorization": "bearer second-key"}).status_code == 200
    assert ask(served, json=EGG, auth=("anybody", "first-key")).status_code == 200  # of http://anybody:first-key@server
    assert ask(served, "/health", "GET").status_code == ask(served, "/ready", "GET").status_code == 200


def test_keys_are_read_from_the_environment(monkeypatch):
    monkeypatch.delenv(KEYS, raising=False)
    assert keys_from_environment() == ()
    monkeypatch.setenv(KEYS, "first-key, second-key")
    assert keys_from_environment() == (b"first-key", b"second-key")
    for mistake in ("", "short", "first-key,"):
        monkeypatch.setenv(KEYS, mistake)
        with pytest.raises(UsageError, match="fewer than 8"):
            keys_from_environment()


def test_a_large_request_is_refused_by_what_it_states_and_by_what_it_sends(serve):
    served = serve(max_body=1000)
    answer = ask(served, json={**EGG, "a": "x" * 1000})
    assert answer.status_code == 413 and "--max-body" in answer.json()["detail"]
    status, headers = asyncio.run(raw(served, *[piece(b"x" * 100)] * 50))
    assert status == 413 and headers[b"connection"] == b"close"
    stated = asyncio.run(raw(served, headers=[(b"content-length", b"9" * 5000)]))
    assert stated[0] == 413
    assert not served.engine.batches


def test_many_large_requests_at_once_are_told_to_come_back(serve, monkeypatch):
    monkeypatch.setattr("rlaif.serve.guard.MOST_HELD", 1000)
    served = serve()

    async def crowd():
        waits = asyncio.create_task(raw(served, piece(b"x" * 600)))
        while not served.app._held:
            await asyncio.sleep(0)
        refused = await raw(served, piece(b"x" * 600))
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        return refused

    status, headers = asyncio.run(crowd())
    assert status == 429 and headers[b"retry-after"] == b"1"
    assert served.app._held == 0 and ask(served, json=EGG).status_code == 200


def test_a_body_that_drips_is_given_up(serve):
    status, headers = asyncio.run(raw(serve(read_timeout=0.05), piece(b"{")))
    assert status == 408 and headers[b"connection"] == b"close"


def test_an_answer_that_takes_too_long_is_given_up_and_kept(serve):
    served = serve(timeout=0.05)

    async def work():
        served.engine.gate.clear()
        async with served.client() as client:
            late = await client.post("/v1/compare", json=EGG)
            served.engine.gate.set()
            while (await client.post("/v1/compare", json=EGG)).status_code != 200:
                pass
        return late

    late = asyncio.run(work())
    assert late.status_code == 504 and "--timeout" in late.json()["detail"]
    assert sum(map(len, served.engine.batches)) == 4


def test_nothing_is_sent_to_a_client_that_has_gone(serve):
    served = serve()

    async def leave():
        served.engine.gate.clear()
        body = b'{"prompt": "q", "a": "x", "b": "y"}'
        return await raw(served, piece(body, more=False), {"type": "http.disconnect"})

    assert asyncio.run(leave()) is None
    assert asyncio.run(raw(serve(), piece(b"{"), {"type": "http.disconnect"})) is None


def test_a_bug_is_said_in_one_line_and_ends_one_request(serve, capsys):
    served = serve()
    assert ask(served, json={**EGG, "a": "boom"}).status_code == 500
    said = capsys.readouterr().err
    assert "boom" in said and "Traceback" not in said
    assert ask(served, json=EGG).status_code == 200
