"""Requests over HTTP, many at once: one event loop's connections to servers."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Protocol
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from aiohttp.http_exceptions import ContentEncodingError

from rlaif.engines.problem import NoReplyError
from rlaif.engines.replies import BadReply

MOST_BYTES = 1 << 28
"""Of one reply, unpacked."""
CONNECT_SECONDS = 10


class Reply(NamedTuple):
    """Headers are looked up in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Wire(Protocol):
    """Carries requests to where they are answered."""

    async def send(self, url: str, content: bytes | None) -> Reply:
        """The reply to ``content``, which is JSON, or to a question without content.

        Raises NoReplyError where none comes, or not a whole one, BadReply where nothing can be made of it.
        """
        ...

    async def close(self) -> None: ...


class HttpWire:
    """By HTTP/1.1 with connections that are kept. headers: of every request; what a URL holds of user and password goes first.

    Proxies are taken from the environment. Made where its event loop runs.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = {**headers, "Content-Type": "application/json"}
        self._proxies = getproxies()
        self._settings = lru_cache(maxsize=1024)(self._settings_for)

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(self, url: str, content: bytes | None) -> Reply:
        body = bytearray()
        method = "GET" if content is None else "POST"
        try:
            asked = self._session.request(method, url, data=content, allow_redirects=False, **self._settings(url))
            async with asked as response:
                async for piece in response.content.iter_any():
                    body += piece
                    if len(body) > MOST_BYTES:
                        raise BadReply(f"a reply of more than {MOST_BYTES >> 20} MB")
        except aiohttp.ClientPayloadError as error:
            if isinstance(error.__cause__, ContentEncodingError):
                raise BadReply(f"the reply cannot be unpacked: {error.__cause__.message}") from None
            raise NoReplyError(f"{type(error).__name__} {error}".strip()) from error
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise NoReplyError(f"{type(error).__name__} {error}".strip()) from error
        return Reply(response.status, response.headers, bytes(body))

    def _settings_for(self, url: str) -> dict[str, Any]:
        """What requests to ``url`` are sent with."""
        scheme, _, rest = url.partition("://")
        user, _, host = rest.partition("/")[0].rpartition("@")
        headers = {name: value for name, value in self._headers.items() if not (user and name == "Authorization")}
        proxy = None if not self._proxies or proxy_bypass(host) else self._proxies.get(scheme) or self._proxies.get("all")
        return {"headers": headers, "proxy": proxy, "ssl": self._certificates if scheme == "https" else True}

    @cached_property
    def _certificates(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()  # the same that are trusted in the first questions to a server

    async def close(self) -> None:
        if "_session" in self.__dict__:
            await self._session.close()
            del self._session
