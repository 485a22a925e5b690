"""Why a request has no answer: which failure a server's words stand for, and how long it asks to wait."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from rlaif.engines.base import FailureReason
from rlaif.engines.problem import Problem, read_reply, retry_after


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ("3", 3),
        ("0.25", 0.25),
        ("0", None),
        ("", None),
        ("-2", None),
        ("nan", None),
        ("inf", None),
        ("1e999", None),
        ("soon", None),
    ],
)
def test_how_long_a_server_asks_to_wait(stated, seconds):
    assert retry_after({"retry-after": stated}) == seconds


def test_a_time_to_come_back_at():
    now = datetime.now(UTC).replace(microsecond=0)
    then = format_datetime(now + timedelta(seconds=30), usegmt=True)
    assert retry_after({"retry-after": then, "date": format_datetime(now, usegmt=True)}) == 30
    assert 20 < retry_after({"retry-after": then}) <= 30
    assert retry_after({"retry-after": format_datetime(now - timedelta(seconds=30), usegmt=True)}) is None


def test_other_statuses_are_no_replies():
    for status in (204, 302, 418, 599):
        assert isinstance(read_reply(status, {}, b"", lambda content: content), Problem)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"message": "filtered", "code": "content_filter"}, FailureReason.REFUSED),
        ({"message": "policy", "type": "content_policy_violation"}, FailureReason.REFUSED),
        ({"message": "the word content_filter in a message is no code"}, FailureReason.ENGINE_ERROR),
        ({"message": "maximum context length is 8"}, FailureReason.TOO_LONG),
    ],
)
def test_what_a_filter_stops_is_refused(error, reason):
    body = json.dumps({"error": error}).encode()
    assert read_reply(400, {}, body, lambda content: content).failure.reason is reason
