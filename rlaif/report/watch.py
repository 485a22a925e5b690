"""A run's report in the browser while the run goes on: a server for this machine alone, which only reads.

A page of another site may make the user's browser ask us too, by a name of its own that leads to this machine (DNS rebinding);
so only requests that name us by our own address are answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from rlaif.errors import RunFailed, UsageError
from rlaif.report.page import page
from rlaif.report.render import read_record

ADDRESS = "127.0.0.1"
_WATCHED = ("run.json", "metrics.jsonl", "metrics.jsonl.part", "samples.jsonl", "warnings.jsonl", "preferences.jsonl")
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Watch(ThreadingHTTPServer):
    """Answers ``GET /`` with the page of the run in ``folder``. Raises UsageError where there is no run, or no such port."""

    daemon_threads = True

    def __init__(self, folder: Path, port: int = 0) -> None:
        read_record(folder)
        self.folder = folder
        self._lock, self._made = Lock(), ("", b"")
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            raise UsageError(f"--port {port}: cannot be listened on: {error.strerror}; give another --port") from None

    @property
    def url(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"

    @property
    def names(self) -> tuple[str, ...]:
        """What a request may call us."""
        return tuple(f"{name}:{self.server_port}" for name in (ADDRESS, "localhost"))

    def page(self, known: str) -> tuple[str, bytes | None]:
        """The page's tag, and the page; None where ``known`` is the tag already. Made anew only when a file has changed."""
        with self._lock:
            tag = self._tag()
            if tag == known:
                return tag, None
            if tag != self._made[0]:
                self._made = tag, page([self.folder], live=True).encode()
            return self._made

    def _tag(self) -> str:
        marks = []
        for folder in (self.folder, self.folder / "train", *sorted(self.folder.glob("round-*/train"))):
            for name in _WATCHED:
                try:
                    stat = (folder / name).stat()
                except OSError:
                    continue
                marks.append((str(folder), name, stat.st_size, stat.st_mtime_ns))
        return f'"{hashlib.sha256(repr(marks).encode()).hexdigest()[:16]}"'


class Handler(BaseHTTPRequestHandler):
    server: Watch
    server_version, sys_version = "rlaif", ""
    timeout = 10

    def do_GET(self) -> None:
        if self.headers.get("Host") not in self.server.names:
            self._answer(403, f"ask {self.server.url}: this page is for this machine alone\n".encode())
        elif self.path.partition("?")[0] != "/":
            self._answer(404, b"there is / alone\n")
        else:
            self._page()

    do_HEAD = do_GET  # noqa: N815

    def _page(self) -> None:
        try:
            tag, content = self.server.page(self.headers.get("If-None-Match", ""))
        except (UsageError, RunFailed) as error:  # the run is being begun or replaced just now
            self._answer(503, f"{error}\n".encode())
            return
        if content is None:
            self._answer(304, b"", tag)
        else:
            self._answer(200, content, tag, "text/html; charset=utf-8")

    def _answer(self, status: int, content: bytes, tag: str = "", kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        for name, value in {**_HEADERS, "Content-Type": kind, **({"ETag": tag} if tag else {})}.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is the user's."""


def serve(folder: Path, port: int, started: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. started: called with the address when it answers."""
    with Watch(folder, port) as server:
        started(server.url)
        server.serve_forever()
