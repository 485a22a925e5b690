"""A server on loopback with the batch APIs of OpenAI and Anthropic, as their references describe them.

It remembers what was handed in. What becomes of the requests is for a test to say: ``fate`` gives, for an item's name and how
often it was handed in, ``ok``, ``error``, ``filtered`` or ``expired``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.engines.providers import KEY, TOKENS, WRITTEN, anthropic
from tests.serving import listening

READ = {"prompt_tokens": TOKENS, "completion_tokens": WRITTEN, "total_tokens": TOKENS + WRITTEN}


@dataclass
class Held:
    """A batch. looks: how often it was looked at; it has ended by the second time. status: of OpenAI's, '' for as it goes."""

    id: str
    items: list[dict[str, Any]]
    metadata: dict[str, str]
    fates: dict[str, str]
    at: str
    looks: int = 0
    status: str = ""


@dataclass
class BatchServer:
    """drops: replies to the next hand-ins that never arrive, though the batch was taken. busy: hand-ins that are put off."""

    answer: Callable[[dict[str, Any]], str] = lambda body: "A"
    fate: Callable[[str, int], str] = lambda name, times: "ok"
    url: str = ""
    drops: int = 0
    busy: int = 0
    fails: int = 0
    files: dict[str, str] = field(default_factory=dict)
    batches: list[Held] = field(default_factory=list)
    handed: Counter[str] = field(default_factory=Counter)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OPENAI_API_KEY": KEY,
            "OPENAI_API_BASE": f"{self.url}/v1",
            "ANTHROPIC_API_KEY": KEY,
            "ANTHROPIC_API_BASE": self.url,
        }

    def take(self, items: list[dict[str, Any]], metadata: dict[str, str]) -> Held:
        names = [item["custom_id"] for item in items]
        assert len(set(names)) == len(names) and all(re.fullmatch(r"[\w-]{1,64}", name) for name in names)
        self.handed.update(names)
        fates = {name: self.fate(name, self.handed[name]) for name in names}
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        held = Held(f"batch_{len(self.batches)}", items, metadata, fates, now)
        if self.fails:
            self.fails, held.status = self.fails - 1, "failed"
        self.batches.append(held)
        return held

    def reply(self, path: str, body: bytes) -> tuple[int, Any] | None:
        """None: the connection is closed."""
        parts, query = urlsplit(path).path.removeprefix("/v1/").split("/"), parse_qs(urlsplit(path).query)
        match parts:
            case ["files"]:
                file = f"file-{len(self.files)}"
                self.files[file] = re.search(rb"\r\n\r\n(\{.*\})\n\r\n", body, re.DOTALL)[1].decode()
                return 200, {"id": file, "object": "file", "purpose": "batch"}
            case ["files", name, "content"]:
                return 200, self.files[name].encode()
            case ["batches"] if body:
                asked = json.loads(body)
                assert asked["endpoint"] == "/v1/chat/completions" and asked["completion_window"] == "24h"
                items = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
                return self._taken(lambda: self._openai(self.take(items, asked.get("metadata") or {})))
            case ["batches"]:
                return 200, self._page([self._openai(held) for held in reversed(self.batches)], query.get("after"))
            case ["batches", id]:
                return 200, self._openai(self._looked(id))
            case ["messages", "batches"] if body:
                items = json.loads(body)["requests"]
                assert all({"model", "max_tokens", "messages"} <= item["params"].keys() for item in items)
                return self._taken(lambda: self._anthropic(self.take(items, {})))
            case ["messages", "batches"]:
                return 200, self._page([self._anthropic(held) for held in reversed(self.batches)], query.get("after_id"))
            case ["messages", "batches", id]:
                return 200, self._anthropic(self._looked(id))
            case ["messages", "batches", id, "results"]:
                held = self._of(id)
                lines = [self._result(held, item) for item in reversed(held.items)]
                return 200, "".join(json.dumps(line) + "\n" for line in lines).encode()
        return 404, {"error": {"message": "not found"}}

    def _taken(self, take: Callable[[], Any]) -> tuple[int, Any] | None:
        if self.busy:
            self.busy -= 1
            return 429, {"error": {"message": "enqueued token limit reached", "code": "token_limit"}}
        taken = take()
        if self.drops:
            self.drops -= 1
            return None
        return 200, taken

    def _of(self, id: str) -> Held:
        return next(held for held in self.batches if held.id == id)

    def _looked(self, id: str) -> Held:
        held = self._of(id)
        held.looks += 1
        return held

    def _page(self, found: list[dict[str, Any]], after: list[str] | None) -> dict[str, Any]:
        """Two at a time, so that whoever reads has to turn the page."""
        start = [each["id"] for each in found].index(after[0]) + 1 if after else 0
        data = found[start : start + 2]
        last = data[-1]["id"] if data else None
        return {"object": "list", "data": data, "has_more": len(found) > start + 2, "first_id": None, "last_id": last}

    def _openai(self, held: Held) -> dict[str, Any]:
        ended = held.looks >= 2
        counts = Counter(held.fates.values())
        status = held.status or ("in_progress" if not ended else "expired" if counts["expired"] else "completed")
        about: dict[str, Any] = {"id": held.id, "object": "batch", "status": status, "metadata": held.metadata}
        wrong = {"data": [{"code": "invalid", "message": "the file is not what it should be"}]}
        about["errors"] = wrong if held.status else None
        done, failed = counts["ok"] * ended, counts["error"] * ended
        about["request_counts"] = {"total": len(held.items), "completed": done, "failed": failed}
        if ended and not held.status:
            out = [self._line(held, item) for item in reversed(held.items)]
            for kind in ("output_file_id", "error_file_id"):
                lines = [line for wrong, line in out if wrong == (kind == "error_file_id")]
                about[kind] = f"{held.id}-{kind}" if lines else None
                self.files[f"{held.id}-{kind}"] = "".join(json.dumps(line) + "\n" for line in lines)
        return about

    def _line(self, held: Held, item: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
        name, body = item["custom_id"], item["body"]
        if held.fates[name] == "expired":
            error = {"code": "batch_expired", "message": "This request could not be executed before the window expired."}
            return True, {"id": "r", "custom_id": name, "response": None, "error": error}
        if held.fates[name] in ("error", "filtered"):
            code = "content_filter" if held.fates[name] == "filtered" else "server_error"
            status = 400 if held.fates[name] == "filtered" else 500
            reply = {"status_code": status, "request_id": "q", "body": {"error": {"message": "no", "code": code}}}
            return True, {"id": "r", "custom_id": name, "response": reply, "error": None}
        text, listed = self.answer(body), None
        if body.get("logprobs"):
            entries = [{"token": token, "logprob": value, "bytes": None} for token, value in (("A", -0.2), ("B", -1.8))]
            entries.sort(key=lambda entry: entry["token"] != text)
            listed = {"content": [{**entries[0], "top_logprobs": entries}]}
        said = {"role": "assistant", "content": text, "refusal": None}
        choice = {"message": said, "logprobs": listed, "finish_reason": "stop"}
        choices = [{"index": n, **choice} for n in range(body.get("n", 1))]
        reply = {"status_code": 200, "request_id": "q", "body": {"choices": choices, "usage": READ, "model": body["model"]}}
        return False, {"id": "r", "custom_id": name, "response": reply, "error": None}

    def _anthropic(self, held: Held) -> dict[str, Any]:
        ended, counts = held.looks >= 2, Counter(held.fates.values())
        names = {"succeeded": counts["ok"], "errored": counts["error"] + counts["filtered"], "expired": counts["expired"]}
        done = {name: many * ended for name, many in names.items()}
        counted = {"processing": len(held.items) * (not ended), "canceled": 0, **done}
        status = "ended" if ended else "in_progress"
        return {
            "id": held.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": counted,
            "created_at": held.at,
        }

    def _result(self, held: Held, item: dict[str, Any]) -> dict[str, Any]:
        name, result = item["custom_id"], dict[str, Any]()
        match held.fates[name]:
            case "expired":
                result = {"type": "expired"}
            case "error":
                error = {"type": "api_error", "message": "no"}
                result = {"type": "errored", "error": {"type": "error", "error": error}}
            case "filtered":
                result = {"type": "succeeded", "message": anthropic("", "refusal")}
            case _:
                result = {"type": "succeeded", "message": anthropic(self.answer(item["params"]))}
        return {"custom_id": name, "result": result}


@contextmanager
def serving() -> Iterator[BatchServer]:
    server = BatchServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(server.reply(self.path, b""))

        def do_POST(self) -> None:
            self._answer(server.reply(self.path, self.rfile.read(int(self.headers["content-length"]))))

        def _answer(self, reply: tuple[int, Any] | None) -> None:
            assert KEY in (self.headers.get("authorization", "") + self.headers.get("x-api-key", ""))
            if reply is None:
                self.close_connection = True
                return
            status, content = reply
            raw = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as server.url:
        yield server
