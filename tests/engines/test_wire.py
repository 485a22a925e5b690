"""HTTP itself: what is sent, what comes back, and what counts as no reply."""

import asyncio
import base64
import gzip
import socket

import pytest

from rlaif.engines import wire
from rlaif.engines.problem import NoReplyError
from rlaif.engines.replies import BadReply
from rlaif.engines.wire import HttpWire


def exchange(answer, times=1, url="http://127.0.0.1:{port}/v1/x", headers=None, content=b"{}"):
    """Send to a server that answers each request with the bytes ``answer``; the replies, and the requests as they came."""
    requests = []

    async def serve(reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line.split(":")[1]) for line in head.lower().splitlines() if "content-length" in line), 0)
                requests.append((head, await reader.readexactly(length)))
                writer.write(answer)
                if b"Content-Length" not in answer:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def go():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        http = HttpWire(headers or {})
        try:
            replies = [await http.send(url.format(port=port), content) for _ in range(times)]
        finally:
            await http.close()
            server.close()
        return replies

    return asyncio.run(go()), requests


def answer(body=b'{"ok": 1}', status="200 OK", more=""):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


def test_a_reply_is_given_as_it_is_whatever_its_status():
    ((status, headers, body),), ((head, sent),) = exchange(answer(b"busy", "429 Too Many", "Retry-After: 3\r\n"))
    assert (status, headers["retry-after"], body) == (429, "3", b"busy")
    assert head.startswith("POST /v1/x HTTP/1.1") and "application/json" in head and sent == b"{}"


def test_a_redirect_is_not_followed():
    ((status, _, _),), requests = exchange(answer(b"", "302 Found", "Location: /elsewhere\r\n"))
    assert status == 302 and len(requests) == 1


def test_a_question_without_content_is_a_get():
    _, ((head, sent),) = exchange(answer(), content=None)
    assert head.startswith("GET /v1/x") and sent == b""


def test_a_packed_reply_is_unpacked_and_a_broken_one_is_bad():
    packed = gzip.compress(b"hello " * 100)
    ((_, _, body),), _ = exchange(answer(packed, more="Content-Encoding: gzip\r\n"))
    assert body == b"hello " * 100
    with pytest.raises(BadReply, match="cannot be unpacked"):
        exchange(answer(b"no gzip at all", more="Content-Encoding: gzip\r\n"))


def test_a_reply_that_does_not_end_is_left(monkeypatch):
    monkeypatch.setattr(wire, "MOST_BYTES", 1 << 20)
    with pytest.raises(BadReply, match="more than 1 MB"):
        exchange(answer(gzip.compress(bytes(2 << 20)), more="Content-Encoding: gzip\r\n"))


@pytest.mark.parametrize("half", [b"", b"HTTP/1.1 200 OK\r\n", b"no HTTP\r\n\r\n"])
def test_half_a_reply_is_none(half):
    with pytest.raises(NoReplyError):
        exchange(half)


def test_a_cut_reply_is_none():
    with pytest.raises(NoReplyError):
        exchange(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")


@pytest.mark.parametrize("url", ["http://127.0.0.1:{free}/v1", "http://[", "ftp://host/v1"])
def test_where_nobody_listens_there_is_no_reply(url):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(NoReplyError):
            exchange(answer(), url=url.replace("{free}", str(free.getsockname()[1])))


def test_the_key_is_sent_but_a_urls_own_user_goes_first():
    headers = {"Authorization": "Bearer sk-1"}
    _, ((head, _),) = exchange(answer(), headers=headers)
    assert "Authorization: Bearer sk-1" in head
    _, ((head, _),) = exchange(answer(), headers=headers, url="http://me:p%40ss@127.0.0.1:{port}/v1")
    assert "sk-1" not in head and base64.b64encode(b"me:p@ss").decode() in head


def test_the_environments_proxy_is_used_but_where_it_is_not_to_be(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.socket() as dead:
        dead.bind(("127.0.0.1", 0))
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{dead.getsockname()[1]}")
        with pytest.raises(NoReplyError):
            exchange(answer())
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert exchange(answer())[0][0].status == 200


def test_connections_are_kept():
    replies, requests = exchange(answer(), times=3)
    assert len(replies) == len(requests) == 3
