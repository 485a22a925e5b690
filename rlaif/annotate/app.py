"""The page's server: on this machine alone, for who holds the token, and with nothing on the page that a text could start."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rlaif.annotate.session import Session
from rlaif.errors import RunFailed, UsageError, one_line

HERE = Path(__file__).parent
FILES = {"/": ("page.html", "text/html"), "/page.js": ("page.js", "text/javascript"), "/page.css": ("page.css", "text/css")}
MOST = 4096
"""Bytes of an answer's body."""
HEADERS = [
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        b"frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


def make_app(session: Session, port: int, token: str) -> ASGIApp:
    """port: the one that the server listens on. token: what requests for pairs and answers must show."""

    async def nothing(request: Request) -> Response:
        return Response(status_code=204)

    async def state(request: Request) -> Response:
        return JSONResponse(session.state())

    async def answer(request: Request) -> Response:
        given = await _body(request)
        session.answer(given.get("number"), str(given.get("key")))
        return JSONResponse(session.state())

    async def undo(request: Request) -> Response:
        session.undo()
        return JSONResponse(session.state())

    app = Starlette(
        routes=[
            *(Route(path, _file(name, kind)) for path, (name, kind) in FILES.items()),
            Route("/favicon.ico", nothing),  # which browsers ask for by themselves
            Route("/api/state", state),
            Route("/api/answer", answer, methods=["POST"]),
            Route("/api/undo", undo, methods=["POST"]),
        ],
        exception_handlers={UsageError: _problem(409), RunFailed: _problem(507)},
    )
    return Guard(app, port, token)


class Guard:
    """An ASGI application around another one. Refused are requests to another host's name (a page elsewhere whose name was
    pointed here), those of another page, and those for ``/api`` without the token."""

    def __init__(self, app: ASGIApp, port: int, token: str) -> None:
        self._app, self._token = app, f"Bearer {token}".encode()
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def headed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
            await send(message)

        headers: dict[bytes, bytes] = dict(scope["headers"])
        refused = None
        if headers.get(b"host") not in self._hosts or headers.get(b"origin", next(iter(self._origins))) not in self._origins:
            refused = JSONResponse({"detail": "only the page on this machine is answered"}, 403)
        elif scope["path"].startswith("/api/") and not self._knows(headers):
            refused = JSONResponse({"detail": "open the address that rlaif annotate printed, with its token"}, 401)
        await (refused or self._app)(scope, receive, headed)

    def _knows(self, headers: dict[bytes, bytes]) -> bool:
        return hmac.compare_digest(headers.get(b"authorization", b""), self._token)


def _file(name: str, kind: str) -> Any:
    content = (HERE / name).read_bytes()

    async def answer(request: Request) -> Response:
        return Response(content, media_type=f"{kind}; charset=utf-8")

    return answer


async def _body(request: Request) -> dict[str, Any]:
    """Raises UsageError where it is no object of JSON, or too long."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST:
            raise UsageError(f"more than {MOST} bytes")
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise UsageError("expected an object with number and key")
    return given


def _problem(status: int) -> Any:
    async def handle(request: Request, error: Exception) -> Response:
        return JSONResponse({"detail": one_line(str(error), 400)}, status)

    return handle
