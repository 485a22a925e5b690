"""The server's process: it listens, answers, and ends when it is told to, after what is under way."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from rlaif.errors import RunFailed, UsageError, warn
from rlaif.serve.app import State, make_app
from rlaif.serve.config import ServeConfig
from rlaif.serve.constitutions import Constitutions
from rlaif.serve.guard import KEYS, keys_from_environment
from rlaif.serve.metrics import Metrics

LOOPBACK = ("127.0.0.1", "localhost", "::1")
IDLE = 5
"""Seconds that a connection is kept open for a next request."""


def run_serve(config: ServeConfig, started: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C. started: called with the server's URL when it answers.

    Raises UsageError where it cannot begin: a constitution, the critic, the address.
    """
    keys = keys_from_environment()
    if not keys and config.host not in LOOPBACK:
        warn(f"--host {config.host}: anybody who reaches this address may ask; {KEYS} asks for a key")
    metrics, state = Metrics(), State()
    constitutions = Constitutions(config, metrics)
    app = make_app(config, constitutions, metrics, keys, state)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn raises the signal again when it has ended
    try:
        _Server(config, app, state, started).run()
    except SystemExit:
        raise UsageError(f"--host {config.host} --port {config.port}: cannot be listened on; give another --port") from None
    finally:
        signal.signal(signal.SIGTERM, before)


class _Server(uvicorn.Server):
    """uvicorn, which says where it listens, and that it drains."""

    def __init__(self, config: ServeConfig, app: Any, state: State, started: Callable[[str], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=config.host,
                port=config.port,
                http=_patient(config.read_timeout),
                ws="none",
                log_level="error",
                access_log=False,
                server_header=False,
                timeout_keep_alive=IDLE,
                timeout_graceful_shutdown=int(config.timeout) + 1,
                backlog=2048,
            )
        )
        self._state, self._told = state, started

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        if not self.started:
            raise RunFailed("the server did not start")
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        self._told(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._state.draining = True
        super().handle_exit(sig, frame)


def _patient(seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, which closes a connection on which no request has begun for ``seconds``: uvicorn itself waits for
    headers as long as they drip."""

    class Patient(AutoHTTPProtocol):  # type: ignore[misc,valid-type]  # one of two classes, by what is installed
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._seen: Any = None
            self._timer = self.loop.call_later(seconds, self._look)

        def connection_lost(self, error: Exception | None) -> None:
            self._timer.cancel()
            super().connection_lost(error)

        def _look(self) -> None:
            cycle = self.cycle
            waiting = cycle is None or cycle.response_complete
            if waiting and cycle is self._seen:
                self.transport.close()
                return
            self._seen = cycle if waiting else self
            self._timer = self.loop.call_later(seconds, self._look)

    return Patient
