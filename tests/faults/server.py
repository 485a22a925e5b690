"""A server on loopback that knows what it would truly say, and says something else to a share of the requests.

What it would say is drawn from a request's content; whether it fails, and how, from the content and the number of times that it
has been asked the same. So the same requests meet the same faults, in whatever order they come.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LABELS = ["A", "B", *"123456789"]
RANKED = 3
"""Responses in each list that is ranked."""


def luck(*parts: object) -> random.Random:
    return random.Random(hashlib.sha256(repr(parts).encode()).digest())


@dataclass
class Reply:
    """What goes over the wire. held: bytes are sent one by one, slowly, or (with no body) not at all. dropped: the connection
    is closed instead."""

    content: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    held: bool = False
    dropped: bool = False

    @property
    def raw(self) -> bytes:
        return json.dumps(self.content).encode() if self.body is None else self.body


Fault = Callable[[Reply, random.Random], Reply | None]
"""Spoils a reply; None where the reply holds nothing that it could spoil."""


# ---- what the model would say


def distribution(rng: random.Random) -> dict[str, float]:
    weights = {label: (5 if label in "AB" else 1) * (0.2 + rng.random()) for label in LABELS}
    mass = 0.9 + 0.09 * rng.random()
    return {label: math.log(mass * weight / sum(weights.values())) for label, weight in weights.items()}


def text(rng: random.Random) -> str:
    if rng.random() < 0.02:
        return "short"
    return " ".join(rng.choice(["kind", "sure", "well", "maybe", "seven", "please"]) for _ in range(rng.randint(3, 12)))


def chat(body: Mapping[str, Any]) -> dict[str, Any]:
    rng = luck(body["messages"], body.get("seed"), body["max_tokens"])
    if body.get("logprobs"):
        listed = [{"token": token, "logprob": value} for token, value in distribution(rng).items()]
        listed.sort(key=lambda entry: -entry["logprob"])
        place = {**listed[0], "top_logprobs": listed}
        choices = [{"index": 0, "message": {"content": listed[0]["token"]}, "finish_reason": "length"}]
        choices[0]["logprobs"] = {"content": [place]}
    else:
        ranking = "ranking" in body["messages"][-1]["content"]
        order = rng.sample(range(1, RANKED + 1), RANKED)
        texts = [json.dumps({"ranking": order}) if ranking else text(rng) for _ in range(body["n"])]
        choices = [{"index": index, "message": {"content": each}, "finish_reason": "stop"} for index, each in enumerate(texts)]
    return {"choices": choices, "usage": {"prompt_tokens": 42}}


def complete(body: Mapping[str, Any]) -> dict[str, Any]:
    choices: list[dict[str, Any]] = []
    for ids in body["prompt"]:
        for draw in range(body.get("n", 1)):
            rng = luck(ids, body.get("seed"), draw)
            choice: dict[str, Any] = {"index": len(choices), "finish_reason": "stop"}
            if wanted := body.get("logprob_token_ids"):
                share = math.log(0.95 / len(wanted))
                given = {f"token_id:{token}": share + math.log(0.2 + 0.8 * rng.random()) for token in wanted}
                choice |= {"text": "A", "logprobs": {"top_logprobs": [given]}}
            else:
                drawn = [rng.randint(3, 90) for _ in range(rng.randint(1, 6))]
                choice |= {"text": text(rng), "token_ids": drawn}
                choice["logprobs"] = {"token_logprobs": [-3 * rng.random() for _ in drawn]}
            choices.append(choice)
    return {"choices": choices}


# ---- what it says instead


def _numbers(content: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every log-probability."""
    found: list[tuple[Any, Any]] = []
    for choice in content["choices"]:
        logprobs = choice.get("logprobs") or {}
        for place in logprobs.get("content", ()):
            found += [(entry, "logprob") for entry in place["top_logprobs"]]
        for entries in logprobs.get("top_logprobs", ()):
            found += [(entries, name) for name in entries]
        values = logprobs.get("token_logprobs", [])
        found += [(values, place) for place in range(len(values))]
    return found


def number(value: Any) -> Fault:
    def spoil(reply: Reply, rng: random.Random) -> Reply | None:
        places = _numbers(reply.content)
        if not places:
            return None
        for container, name in rng.sample(places, min(3, len(places))):
            container[name] = value
        return reply

    return spoil


def message(**changes: Any) -> Fault:
    def spoil(reply: Reply, rng: random.Random) -> Reply | None:
        choice = rng.choice(reply.content["choices"])
        if "message" not in choice or choice.get("logprobs"):
            return None
        choice["message"] |= {**changes, "content": None}
        return reply

    return spoil


def disordered(reply: Reply, rng: random.Random) -> Reply | None:
    if len(reply.content["choices"]) < 2:
        return None
    reply.content["choices"].reverse()
    return reply


def fewer(reply: Reply, rng: random.Random) -> Reply | None:
    reply.content["choices"].pop()
    return reply


def twice(reply: Reply, rng: random.Random) -> Reply | None:
    reply.content["choices"].append(reply.content["choices"][0])
    return reply


def cut(reply: Reply, rng: random.Random) -> Reply | None:
    for choice in reply.content["choices"]:
        if choice.get("logprobs") or "message" not in choice:
            return None
        choice["message"]["content"] = choice["message"]["content"][:7]
        choice["finish_reason"] = "length"
    return reply


def without(*path: str) -> Fault:
    def spoil(reply: Reply, rng: random.Random) -> Reply | None:
        for choice in reply.content["choices"]:
            if not choice.get("logprobs"):
                return None
            if len(path) == 1:
                choice["logprobs"] = None
            elif "content" in choice["logprobs"]:
                for place in choice["logprobs"]["content"]:
                    place.pop("top_logprobs")
            else:
                choice["logprobs"].pop("top_logprobs", None)
        return reply

    return spoil


def instead(content: Any, status: int = 200, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda reply, rng: Reply(content, status, named)


def raw(change: Callable[[bytes], bytes], **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda reply, rng: Reply(body=change(reply.raw), headers=named)


ERROR = {"error": {"message": "the \x1b[31mserver\x07 is\r\nbusy", "code": 429}}
FAULTS: dict[str, Fault] = {
    "nan": number(math.nan),
    "inf": number(math.inf),
    "above 0": number(5.0),
    "null logprob": number(None),
    "text logprob": number("-0.5"),
    "disordered": disordered,
    "fewer choices": fewer,
    "more choices": twice,
    "null content": message(),
    "null content, reasoning": message(reasoning_content="I think so."),
    "refusal": message(refusal="I cannot."),
    "cut": cut,
    "no logprobs": without("logprobs"),
    "no top_logprobs": without("logprobs", "top_logprobs"),
    "html": lambda reply, rng: Reply(body=b"<html><body>Bad gateway</body></html>"),
    "empty": lambda reply, rng: Reply(body=b""),
    "half": raw(lambda body: body[: len(body) // 2]),
    "bad gzip": raw(lambda body: gzip.compress(body)[:-9] + b"no gzip!!", content_encoding="gzip"),
    "bad utf-8": raw(lambda body: body[:-2] + b'"\xff\xfe"' + body[-2:]),
    "deep": lambda reply, rng: Reply(body=b'{"choices":' + b"[" * 200_000),
    "a list": instead([1, 2, 3]),
    "null": instead(None),
    "error in 200": instead({"choices": None, **ERROR}),
    "no choices": instead({"usage": {}}),
    "null choices": instead({"choices": None}),
    "choices of null": instead({"choices": [None]}),
    "404": instead({"detail": "Not Found"}, 404),
    "401": instead(ERROR, 401),
    "429": instead(ERROR, 429),
    "429, now": instead(ERROR, 429, retry_after="0"),
    "429, soon": instead(ERROR, 429, retry_after="0.01"),
    "429, at a time": lambda reply, rng: Reply(ERROR, 429, {"retry-after": formatdate(time.time() - 5, usegmt=True)}),
    "429, odd": instead(ERROR, 429, retry_after="-1e999"),
    "500": instead("boom", 500),
    "503": lambda reply, rng: Reply(body=b"upstream connect error", status=503),
    "302": instead(None, 302, location="/login"),
    "drop": lambda reply, rng: Reply(dropped=True),
    "half, then drop": lambda reply, rng: Reply(body=reply.raw[:20], dropped=True),
    "hang": lambda reply, rng: Reply(body=b"", held=True),
    "drip": lambda reply, rng: Reply(body=reply.raw, held=True),
}
LISTED = frozenset({"refusal", "cut"})
"""These are replies as they should be: they are believed, and the prompt is listed with that reason."""


@dataclass
class FaultServer:
    """faults: names of ``FAULTS``. rate: the share of requests that meet one. vllm: the folder of a tokenizer, for a server
    that takes token ids. delay: seconds before each reply. held: seconds at most for which a request is left without one; the
    client's deadline should come first. asked: how often each request came. said: how often each fault was met."""

    faults: tuple[str, ...] = ()
    rate: float = 0.3
    seed: int = 0
    vllm: str | None = None
    url: str = ""
    delay: float = 0.0
    held: float = 5.0
    asked: Counter[str] = field(default_factory=Counter)
    said: Counter[str] = field(default_factory=Counter)
    stopped: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, body: dict[str, Any]) -> Reply:
        if path == "/tokenize":
            return Reply({"tokens": self._tokenizer.encode(body["prompt"], add_special_tokens=False)})
        name = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
        self.asked[name] += 1
        time.sleep(self.delay)
        reply = Reply(complete(body) if path == "/v1/completions" else chat(body))
        rng = luck(self.seed, name, self.asked[name])
        if not self.faults or rng.random() >= self.rate:
            return reply
        fault = rng.choice(self.faults)
        if spoiled := FAULTS[fault](reply, rng):
            self.said[fault] += 1
            return spoiled
        return Reply(complete(body) if path == "/v1/completions" else chat(body))

    @property
    def models(self) -> dict[str, Any]:
        card = {"id": "judge", "owned_by": "someone"}
        if self.vllm:
            card |= {"owned_by": "vllm", "root": self.vllm, "max_model_len": 4096}
        return {"data": [card]}

    @property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.vllm)


@contextmanager
def serving(server: FaultServer, port: int = 0) -> Iterator[FaultServer]:
    """The server at ``server.url``, on a thread of its own for each connection."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(Reply(server.models))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._send(server.answer(self.path, body))

        def _send(self, reply: Reply) -> None:
            data = reply.raw
            if reply.dropped and reply.body is None:
                self.close_connection = True
                return
            self.send_response(reply.status)
            length = len(data) + (1000 if reply.dropped or (reply.held and not data) else 0)
            for name, value in {**reply.headers, "content-length": str(length)}.items():
                self.send_header(name, value)
            try:
                self.end_headers()
                if not reply.held:
                    self.wfile.write(data)
                until = time.monotonic() + server.held
                while reply.held and time.monotonic() < until and not server.stopped.wait(0.02):
                    if data:
                        self.wfile.write(data[:1])
                        data = data[1:]
            except OSError:  # the client has gone
                pass
            self.close_connection = reply.dropped or reply.held

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

        def handle_error(self, *_: object) -> None:
            pass

    httpd = Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
    thread.start()
    server.url = f"http://127.0.0.1:{httpd.server_port}"
    try:
        yield server
    finally:
        server.stopped.set()
        httpd.shutdown()
        httpd.server_close()
        thread.join()
