"""A real server in a process of its own: it listens, drains, and minds no strange client."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from tests.serve.conftest import CONSTITUTION
from tests.serving import heed_interrupts


@pytest.fixture
def server(tmp_path):
    """The process and its URL. delay: seconds that a critic's call takes."""
    started = []

    def start(delay=0.0, **environment):
        (tmp_path / "t.yaml").write_text(CONSTITUTION)
        (tmp_path / "s.yaml").write_text(f"delay: {delay}\nrules: [{{choose: {{A: 0.8, B: 0.1}}}}]\n")
        command = [sys.executable, "-m", "rlaif", "serve", "--constitution", "t.yaml", "--critic", "script:s.yaml"]
        command += ["--port", "0", "--read-timeout", "1", "--max-body", "10000"]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
            preexec_fn=heed_interrupts,
        )
        started.append(process)
        first = process.stdout.readline()
        assert first, process.stderr.read()
        url = re.search(r"http://\S+", first)[0]
        return process, url

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


EGG = {"prompt": "q", "a": "x", "b": "y"}


def test_what_is_under_way_is_answered_before_the_server_ends(server):
    process, url = server(delay=1.0)
    answers = []
    client = threading.Thread(target=lambda: answers.append(httpx.post(f"{url}/v1/compare", json=EGG, timeout=30)))
    client.start()
    while "rlaif_under_way_questions 4.0" not in httpx.get(f"{url}/metrics").text:
        threading.Event().wait(0.01)
    process.send_signal(signal.SIGTERM)
    client.join(30)
    assert answers and answers[0].status_code == 200 and answers[0].json()["p"] == 0.5
    assert process.wait(30) == 0
    assert "Traceback" not in process.stderr.read()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health")


def test_strange_clients_harm_nobody(server):
    process, url = server()
    host, port = url.removeprefix("http://").split(":")
    strange = [
        b"",
        b"GET /health HT",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"POST /v1/compare HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        b'POST /v1/compare HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"pro\r\n',
        b"POST /v1/compare HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n{",
        b"POST /v1/compare HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000,
    ]
    connections = []
    for content in strange * 3:
        connection = socket.create_connection((host, int(port)), timeout=20)
        connection.sendall(content)
        connections.append(connection)
    assert httpx.post(f"{url}/v1/compare", json=EGG, timeout=20).status_code == 200
    for connection in connections:  # each is closed by the server, sooner or later, whatever the client does
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
        connection.close()
    assert httpx.post(f"{url}/v1/compare", json=EGG, timeout=20).status_code == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130


def test_headers_that_drip_do_not_keep_a_connection(server):
    _, url = server()
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=20)
    dripped = 0
    try:
        for dripped in range(1000):
            connection.sendall(b"G" if not dripped else b"x")
            threading.Event().wait(0.05)
    except (ConnectionResetError, BrokenPipeError):
        pass
    assert dripped < 999


def test_what_keeps_it_from_starting_is_said(server, tmp_path):
    _, url = server()
    taken = url.rpartition(":")[2]
    command = [sys.executable, "-m", "rlaif", "serve", "--constitution", "t.yaml", "--critic", "script:s.yaml", "--port"]
    done = subprocess.run([*command, taken], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and f"--port {taken}" in done.stderr
    env = {**os.environ, "RLAIF_SERVE_KEYS": "short"}
    done = subprocess.run([*command, "0"], cwd=tmp_path, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 2 and "RLAIF_SERVE_KEYS" in done.stderr
