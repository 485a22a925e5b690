"""What is sent again to a batch API, and what is not."""

import httpx
import pytest

from rlaif.engines import client
from rlaif.engines.batch_http import asked, once
from rlaif.errors import RunFailed


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.001,) * 4, stated=0.001))


def sending(*replies):
    """Gives one after the other; errors are raised. Counts."""
    left = list(replies)

    def send():
        send.times += 1
        reply = left.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply, json={"id": "x"} if reply == 200 else {"error": {"message": "no"}})

    send.times = 0
    return send


LOST = httpx.ReadError("the connection was closed")


def test_a_question_is_asked_until_it_is_answered():
    send = sending(LOST, 503, 429, 200)
    assert asked(send) == {"id": "x"} and send.times == 4


def test_a_question_that_will_not_be_answered_is_asked_once():
    send = sending(403)
    with pytest.raises(RunFailed, match="HTTP 403"):
        asked(send)
    assert send.times == 1


def test_a_hand_in_that_was_not_taken_is_tried_again():
    send = sending(429, 503, 200)
    assert once(send) == {"id": "x"} and send.times == 3


@pytest.mark.parametrize("reply", [LOST, 500, 502])
def test_a_hand_in_of_which_nobody_knows_is_not(reply):
    send = sending(reply, 200)
    with pytest.raises(RunFailed, match="batch was"):
        once(send)
    assert send.times == 1
