"""Requests to a batch API: what may be sent again is, what must not be done twice is not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from rlaif.engines import client
from rlaif.engines.problem import refusal
from rlaif.engines.replies import BadReply, parsed
from rlaif.errors import RunFailed, UsageError, one_line


def key(name: str) -> str:
    key = os.environ.get(name, "").strip()
    if not key:
        raise UsageError(f"--batch: {name} is not set")
    return key


def http(base: str, headers: Mapping[str, str]) -> httpx.Client:
    return httpx.Client(base_url=base, headers=dict(headers), timeout=httpx.Timeout(600.0, connect=10.0))


def asked(send: Callable[[], httpx.Response]) -> dict[str, Any]:
    """The content of a reply to a request that may be sent again. Raises RunFailed where there is none: the same command goes
    on from there."""
    pauses = client.PATIENCE.pauses
    for pause in (*pauses, None):
        try:
            return _content(send())
        except (httpx.RequestError, BadReply) as error:
            words, wait = f"{type(error).__name__} {error}".strip(), None
        except _Refused as error:
            words, wait = error.words, error.wait
            if error.final:
                break
        if pause is not None:
            time.sleep(min(wait or pause, client.PATIENCE.stated))
    raise RunFailed(f"the batch API does not answer as it should: {one_line(words, 300)}; the same command continues")


def once(send: Callable[[], httpx.Response]) -> dict[str, Any]:
    """As ``_asked``, for what must not be done twice: only a reply that says it was not done is followed by another try."""
    refused: _Refused | None = None
    for pause in (*client.PATIENCE.pauses, None):
        try:
            return _content(send())
        except _Refused as error:
            refused = error
            if error.final or not error.undone or pause is None:
                break
            time.sleep(min(error.wait or pause, client.PATIENCE.stated))
        except (httpx.RequestError, BadReply) as error:
            raise RunFailed(
                f"nobody knows whether the batch was taken ({one_line(f'{type(error).__name__} {error}')}); the same command "
                "looks for it, and hands it in again only where it is not there"
            ) from None
    assert refused
    raise RunFailed(f"the batch was not taken: {one_line(refused.words, 300)}; the same command tries again")


class _Refused(Exception):
    """A reply that says no. final: to this request, whenever it comes. undone: nothing was done."""

    def __init__(self, status: int, words: str, wait: float | None) -> None:
        super().__init__(words)
        self.words, self.wait = words, wait
        self.final, self.undone = status // 100 == 4 and status not in (408, 409, 429), status in (429, 503, 529)


def _content(response: httpx.Response) -> dict[str, Any]:
    problem = refusal(response)
    if problem:
        raise _Refused(response.status_code, problem.words, problem.wait)
    return parsed(response.content)


def lines(http: httpx.Client, path: str) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file. Raises RunFailed where it cannot be had."""
    try:
        with http.stream("GET", path) as response:
            if response.status_code // 100 != 2:
                response.read()
                raise RunFailed(
                    f"the batch's results cannot be fetched: HTTP {response.status_code}; the same command tries again"
                )
            for line in response.iter_lines():
                if line.strip():
                    yield parsed(line.encode())
    except (httpx.RequestError, BadReply) as error:
        raise RunFailed(f"the batch's results cannot be read: {one_line(str(error))}; the same command tries again") from None
