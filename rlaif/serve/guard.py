"""Between the network and the application: keys, the size of requests, and how long anything may take."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import os
import time
from collections.abc import MutableMapping, Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlaif.errors import UsageError, warn
from rlaif.serve.config import ServeConfig
from rlaif.serve.metrics import Metrics

KEYS = "RLAIF_SERVE_KEYS"
MOST_HELD = 1 << 28
"""Bytes of all requests together that are held at one time, until each is answered."""
OPEN = frozenset(("/health", "/ready", "/docs", "/openapi.json"))
"""Paths that need no key: they tell nothing of what is judged."""


def keys_from_environment() -> tuple[bytes, ...]:
    """The keys of which a client must show one: comma-separated in RLAIF_SERVE_KEYS. None: everybody may ask.

    Raises UsageError for an empty or short key, which is a mistake.
    """
    given = os.environ.get(KEYS)
    if given is None:
        return ()
    keys = [key.strip() for key in given.split(",")]
    if min(map(len, keys)) < 8:
        raise UsageError(f"{KEYS}: a key has fewer than 8 characters; unset it to serve without keys")
    return tuple(key.encode() for key in keys)


class Guard:
    """An ASGI application around another one.

    A request is read whole, within ``read_timeout`` and ``max_body``, before the application sees it, so that slow clients hold
    nothing but a connection. What a client that has gone was waiting for is cancelled.
    """

    def __init__(self, app: ASGIApp, config: ServeConfig, keys: Sequence[bytes], metrics: Metrics) -> None:
        self._app, self._config, self._keys, self._metrics = app, config, keys, metrics
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, answer = time.monotonic(), _Answer(send)
        try:
            await self._answer(scope, receive, answer)
        finally:
            if answer.status:
                route = getattr(scope.get("route"), "path", "other")
                self._metrics.request(route, answer.status, time.monotonic() - started)

    async def _answer(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        headers = dict(scope["headers"])
        if self._keys and scope["path"] not in OPEN and not self._known(headers):
            await answer.problem(401, f"a key is needed: Authorization: Bearer KEY, one of those in {KEYS} on the server")
            return
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self._config.read_timeout):
                    arrived = await self._read(headers, receive, body)
            except TimeoutError:
                await answer.problem(408, f"the request did not arrive within {self._config.read_timeout:g} s (--read-timeout)")
            except _Refused as refusal:
                await answer.problem(refusal.status, str(refusal))
            else:
                if arrived:
                    await self._work(scope, receive, answer, bytes(body))
        finally:
            self._held -= len(body)

    async def _read(self, headers: MutableMapping[bytes, bytes], receive: Receive, body: bytearray) -> bool:
        """Put the request's body into ``body``; False where the client leaves before it is there. Raises _Refused."""
        most, stated = self._config.max_body, headers.get(b"content-length", b"0")
        while len(body) <= most and (len(stated) < 20 and int(stated) <= most):
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            piece = message.get("body", b"")
            body += piece
            self._held += len(piece)
            if self._held > MOST_HELD:
                raise _Refused(429, "the requests under way are too large together; try again in 1 s")
            if len(body) <= most and not message.get("more_body"):
                return True
        raise _Refused(413, f"the request has more than {most:,} bytes (--max-body)")

    async def _work(self, scope: Scope, receive: Receive, answer: _Answer, body: bytes) -> None:
        """Have the application answer, for as long as the client waits, within ``timeout``."""
        gone = asyncio.ensure_future(receive())  # after the body, the only thing to come is that the client leaves
        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await asyncio.shield(gone)

        work = asyncio.ensure_future(self._app(scope, replay, answer))
        try:
            await asyncio.wait({work, gone}, timeout=self._config.timeout, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
            elif not gone.done() and not answer.status:
                await answer.problem(504, f"no answer within {self._config.timeout:g} s (--timeout); what is answered is kept")
        except Exception as error:
            warn(f"{scope['path']}: {type(error).__name__}: {error} (this looks like a bug)")
            if not answer.status:
                await answer.problem(500, "the server failed on this request; its log says why")
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)

    def _known(self, headers: MutableMapping[bytes, bytes]) -> bool:
        """Whether a key is shown: as a bearer token, or as the password of a URL, for trainers that send no headers."""
        kind, _, shown = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() == b"basic":
            try:
                shown = base64.b64decode(shown, validate=True).partition(b":")[2]
            except binascii.Error:
                return False
        elif kind.lower() != b"bearer":
            return False
        same = [hmac.compare_digest(shown.strip(), key) for key in self._keys]  # all of them, so that time tells nothing
        return any(same)


class _Refused(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class _Answer:
    """``send``, remembering the status that was sent; 0 before."""

    def __init__(self, send: Send) -> None:
        self._send, self.status = send, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)

    async def problem(self, status: int, detail: str) -> None:
        """Say what is wrong, and close the connection: the rest of the request may still be on its way."""
        content = json.dumps({"detail": detail}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        if status == 429:
            headers.append((b"retry-after", b"1"))
        if status in (408, 413, 429):
            headers.append((b"connection", b"close"))
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": content})
