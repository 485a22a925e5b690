"""Why a request has no answer, by what the server said."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeVar

import httpx

from rlaif.engines import replies
from rlaif.engines.base import Failure, FailureReason
from rlaif.engines.replies import BadReply

T = TypeVar("T")
Kind = Literal["unreachable", "busy", "broken", "bad", "denied", "refused", "too_long", "filtered"]
FINAL = ("refused", "too_long", "filtered")
"""What asking again does not change."""
FILTERED = ("content_filter", "content_policy_violation", "ContentPolicyViolation", "ResponsibleAIPolicyViolation")
"""Codes by which providers say that a filter stood in the way."""


class NoReplyError(Exception):
    """No reply came, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a request has no answer. unreachable: no reply, or not a whole one. busy: the server says so. broken: it says
    that it failed (500). bad: a reply that is not what was asked for. denied: 401, 403, 404. refused, too_long: it does not
    take this request. filtered: a content filter does not.

    words: what happened, on one line. wait: seconds that the server asks for. remedy: see ``BadReply``.
    """

    kind: Kind
    words: str
    wait: float | None = None
    remedy: str = ""

    @property
    def failure(self) -> Failure:
        reasons = {"too_long": FailureReason.TOO_LONG, "filtered": FailureReason.REFUSED}
        return Failure(reasons.get(self.kind, FailureReason.ENGINE_ERROR), self.words)


def read_reply(status: int, headers: Mapping[str, str], body: bytes, read: Callable[[dict[str, Any]], T]) -> T | Problem:
    """What ``read`` makes of the content of a reply, or what is wrong with it. An error in a reply of status 200 counts as
    what its code says."""
    try:
        if status // 100 != 2:
            return _refused(status, headers, replies.words(body), replies.code(body))
        content = replies.parsed(body)
        stated = replies.stated_error(content)
        if stated:
            return _refused(stated.status or 200, headers, stated.words, stated.code)
        return read(content)
    except BadReply as error:
        return Problem("bad", str(error), remedy=error.remedy)


def refusal(response: httpx.Response) -> Problem | None:
    """What is wrong with a reply of which nothing but its status matters."""
    if response.status_code // 100 == 2:
        return None
    return _refused(response.status_code, response.headers, replies.words(response.content))


def _refused(status: int, headers: Mapping[str, str], words: str, code: str = "") -> Problem:
    message = f"HTTP {status}: {words}".rstrip(": ")
    if status in (401, 403, 404):
        return Problem("denied", message)
    if status == 500:
        return Problem("broken", message)
    if status in (408, 409, 425, 429) or status > 500:
        return Problem("busy", message, retry_after(headers))
    if code in FILTERED:
        return Problem("filtered", message)
    if status >= 400:
        long = any(hint in words.lower() for hint in ("context", "too long", "maximum length", "max_model_len"))
        return Problem("too_long" if long else "refused", message)
    return Problem("bad", message)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait, from a number or a date; None where it asks for nothing, or for no time at all."""
    stated = headers.get("retry-after", "").strip()
    try:
        seconds = float(stated)
    except ValueError:
        try:
            then = parsedate_to_datetime(stated)
            now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
            seconds = (then - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if 0 < seconds < math.inf else None
