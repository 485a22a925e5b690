import asyncio

import httpx
import pytest

from rlaif.annotate.app import make_app
from rlaif.errors import RunFailed
from tests.reference.fake_run import HOSTILE

TOKEN = {"authorization": "Bearer secret"}


@pytest.fixture
def ask(session):
    one = session()
    app = make_app(one, 8123, "secret")

    def call(method, path, headers=TOKEN, base="http://127.0.0.1:8123", **more):
        async def work():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base) as client:
                return await client.request(method, path, headers=headers, **more)

        return asyncio.run(work())

    call.session = one
    return call


def test_questions_are_answered_and_taken_back(ask):
    state = ask("GET", "/api/state").json()
    assert (state["number"], state["done"], state["total"]) == (0, 0, 12)
    state = ask("POST", "/api/answer", json={"number": 0, "key": "1"}).json()
    assert (state["number"], state["done"]) == (1, 1)
    assert ask("POST", "/api/undo", json={}).json()["number"] == 0


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"headers": {}}, 401),
        ({"headers": {"authorization": "Bearer secreT"}}, 401),
        ({"base": "http://evil.example:8123"}, 403),
        ({"base": "http://127.0.0.1:9"}, 403),
        ({"headers": {**TOKEN, "origin": "http://evil.example"}}, 403),
        ({"headers": {**TOKEN, "origin": "null"}}, 403),
        ({"headers": {**TOKEN, "origin": "http://localhost:8123"}, "base": "http://localhost:8123"}, 200),
    ],
)
def test_only_who_holds_the_token_on_this_machine_is_answered(ask, more, status):
    answer = ask("POST", "/api/answer", json={"number": 0, "key": "1"}, **more)
    assert answer.status_code == status and len(ask.session.answered) == (status == 200)
    if status != 200:
        assert "prompt" not in answer.text


BODIES = [
    "",
    "[]",
    "{",
    '{"number": 0}',
    '{"number": 0, "key": ["1"]}',
    '{"number": 5, "key": "1"}',
    '{"key": "1"}',
    "x" * 5000,
]


@pytest.mark.parametrize("body", BODIES)
def test_what_is_no_answer_changes_nothing(ask, body):
    answer = ask("POST", "/api/answer", content=body)
    assert answer.status_code == 409 and answer.json()["detail"] and not ask.session.answered


def test_an_answer_that_is_not_saved_stays_open(ask, monkeypatch):
    def refuse(answer):
        raise RunFailed("annotations.jsonl: No space left on device; free some space")

    monkeypatch.setattr(ask.session.log, "add", refuse)
    answer = ask("POST", "/api/answer", json={"number": 0, "key": "1"})
    assert answer.status_code == 507 and "free some space" in answer.json()["detail"] and ask.session.current == 0


def test_the_page_lets_nothing_in_and_nothing_out(ask):
    for path, kind in (("/", "text/html"), ("/page.js", "text/javascript"), ("/page.css", "text/css")):
        answer = ask("GET", path, headers={})
        assert answer.status_code == 200 and answer.headers["content-type"] == f"{kind}; charset=utf-8"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'") and "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff" and HOSTILE not in answer.text
        assert "innerHTML" not in answer.text and "<script>" not in answer.text and " on" + "click" not in answer.text
