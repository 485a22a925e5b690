"""Servers as processes of their own: one is killed in mid-run, one comes in mid-run, and the run is as with one server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rlaif.engines import client, replicas
from rlaif.label import pipeline
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.progress import Progress
from rlaif.settings import configure

ROWS = 200
SERVER = """
import sys, time
from pathlib import Path
from tests.faults.server import FaultServer, serving

class Counting(FaultServer):
    def answer(self, path, body):
        with Path(sys.argv[2]).open("a") as file:
            file.write(".")
        return super().answer(path, body)

with serving(Counting(delay=0.005), int(sys.argv[1])):
    time.sleep(600)
"""


class Server:
    """A server in a process of its own, on a port that is taken when it starts."""

    def __init__(self, folder, name):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self._log, self.process = f"http://127.0.0.1:{self.port}", folder / name, None

    @property
    def asked(self):
        return len(self._log.read_text()) if self._log.exists() else 0

    def start(self):
        command = [sys.executable, "-c", SERVER, str(self.port), str(self._log)]
        self.process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise AssertionError("the server does not listen")

    def kill(self):
        if self.process:
            self.process.kill()  # SIGKILL
            self.process.wait()


@pytest.fixture
def servers(tmp_path):
    made = [Server(tmp_path, name) for name in ("steady", "killed", "late")]
    yield made
    for server in made:
        server.kill()


def test_one_is_killed_and_one_joins(servers, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(client, "PATIENCE", client.Patience(pauses=(0.01,) * 7, brief=0.01))
    monkeypatch.setattr(replicas, "RESTS", (0.05,))
    monkeypatch.setattr(pipeline, "CHUNK_QUESTIONS", 32)
    rows = [{"prompt": f"p{n}", "responses": [f"a{n}", f"b{n}"]} for n in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "c.yaml").write_text("{name: one, version: 1, principles: [{id: kind, text: The response is kind.}]}")
    steady, killed, late = servers
    for server in (steady, killed):
        server.start()
    asked_before: list[int] = []

    def update(done, figures):
        if not asked_before:
            asked_before.append(killed.asked)
            killed.kill()
            late.start()

    def label(name, urls, progress):
        given = {"source": str(tmp_path / "rows.jsonl"), "constitution": tmp_path / "c.yaml", "critic": ",".join(urls)}
        run = run_label(configure(LabelConfig, out=tmp_path / name, store=tmp_path / f"{name}.sqlite", **given), progress)
        return run["counts"], (tmp_path / name / "preferences.jsonl").read_bytes()

    counts, records = label("many", [server.url for server in servers], Progress(update=update))
    assert counts["verdicts"] == ROWS and counts["failed"] == 0
    assert 0 < asked_before[0] == killed.asked and late.asked > 0
    assert (counts, records) == label("one", [steady.url], Progress())
    said = capsys.readouterr().err
    for server in (killed, late):
        assert said.count(f"{server.url}/v1 does not answer") == 1
