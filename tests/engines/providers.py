"""A server on loopback that answers as OpenAI, Anthropic and Google document their chat APIs (not as any client expects).

Sources: the providers' references of ``POST /v1/chat/completions``, ``POST /v1/messages`` and ``models/…:generateContent``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

from tests.serving import listening

OPENAI, ANTHROPIC, GEMINI = "openai/gpt-4o", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash"
KEY = "a-key-of-the-tests"
TOKENS, WRITTEN = 42, 3
"""What each provider counts of a prompt, and of a text."""


class Asked(NamedTuple):
    path: str
    body: dict[str, Any]
    headers: dict[str, str]


Reply = tuple[int, Mapping[str, str], Any]


@dataclass
class Providers:
    """environment: what litellm must find in it to ask here."""

    environment: dict[str, str]
    key: str = KEY
    asked: list[Asked] = field(default_factory=list)
    _answers: dict[str, Callable[[dict[str, Any]], Reply]] = field(default_factory=dict)
    _first: dict[str, list[Reply]] = field(default_factory=dict)

    def says(self, model: str, text: str, logprobs: Mapping[str, float] | None = None) -> None:
        self._answers[_kind(model)] = lambda body: (200, {}, SAID[_kind(model)](body, text, logprobs))

    def refuses(self, model: str) -> None:
        self.replies(model, *REFUSED[_kind(model)])

    def too_long(self, model: str) -> None:
        self.replies(model, *TOO_LONG[_kind(model)])

    def denies(self, model: str) -> None:
        error = {"message": "Incorrect API key provided", "type": "invalid_request_error", "code": "invalid_api_key"}
        self.replies(model, 401, {}, {"error": error})

    def busy(self, model: str, times: int, seconds: int) -> None:
        """The next requests are answered that it is."""
        self._first[_kind(model)] = [BUSY[_kind(model)](seconds)] * times

    def replies(self, model: str, status: int, headers: Mapping[str, str], content: Any) -> None:
        self._answers[_kind(model)] = lambda body: (status, headers, content)

    def reply(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        kind = next(kind for kind, part in PATHS.items() if part in asked.path)
        first = self._first.get(kind)
        return first.pop() if first else self._answers[kind](asked.body)


PATHS = {"openai": "/chat/completions", "anthropic": "/v1/messages", "gemini": ":generateContent"}


def _kind(model: str) -> str:
    return model.partition("/")[0]


def _openai(body: Mapping[str, Any], text: str, logprobs: Mapping[str, float] | None) -> dict[str, Any]:
    held = None
    if logprobs and body.get("logprobs"):
        listed = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in logprobs.items()]
        held = {"content": [{**listed[0], "top_logprobs": listed[: body["top_logprobs"]]}], "refusal": None}
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choices = [
        {"index": n, "message": message, "logprobs": held, "finish_reason": "length" if held else "stop"}
        for n in range(body.get("n") or 1)
    ]
    usage = {"prompt_tokens": TOKENS, "completion_tokens": WRITTEN, "total_tokens": TOKENS + WRITTEN}
    named = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-2024-08-06"}
    return {**named, "choices": choices, "usage": usage, "service_tier": "default", "system_fingerprint": "fp_1"}


def anthropic(text: str, stop_reason: str = "end_turn") -> dict[str, Any]:
    """A message of Anthropic's."""
    usage = {"input_tokens": TOKENS, "output_tokens": WRITTEN}
    content = [{"type": "text", "text": text}] if text else []
    named = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5"}
    return {**named, "content": content, "stop_reason": stop_reason, "stop_sequence": None, "usage": usage}


def _gemini(body: Mapping[str, Any], text: str, logprobs: Mapping[str, float] | None) -> dict[str, Any]:
    settings = body.get("generationConfig", {})
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": "STOP"}
    if logprobs and settings.get("responseLogprobs"):
        listed = [
            {"token": token, "tokenId": n, "logProbability": value}
            for n, (token, value) in enumerate(logprobs.items())
            if n < settings.get("logprobs", 0)
        ]
        candidate["logprobsResult"] = {"topCandidates": [{"candidates": listed}], "chosenCandidates": listed[:1]}
    many = settings.get("candidateCount") or settings.get("candidate_count") or 1
    return {
        "candidates": [{**candidate, "index": n} for n in range(many)],
        "usageMetadata": {
            "promptTokenCount": TOKENS,
            "candidatesTokenCount": WRITTEN,
            "totalTokenCount": TOKENS + WRITTEN,
        },
        "modelVersion": "gemini-2.5-flash",
        "responseId": "1",
    }


SAID: dict[str, Callable[[Mapping[str, Any], str, Mapping[str, float] | None], dict[str, Any]]] = {
    "openai": _openai,
    "anthropic": lambda body, text, logprobs: anthropic(text),
    "gemini": _gemini,
}
FILTER = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
REFUSED: dict[str, Reply] = {
    "openai": (400, {}, {"error": {"message": FILTER, "type": None, "param": "prompt", "code": "content_filter"}}),
    "anthropic": (200, {}, anthropic("", "refusal")),
    "gemini": (200, {}, {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": TOKENS}}),
}
TOO_LONG: dict[str, Reply] = {
    "openai": (
        400,
        {},
        {
            "error": {
                "message": "This model's maximum context length is 128000 tokens.",
                "type": "invalid_request_error",
                "param": "messages",
                "code": "context_length_exceeded",
            }
        },
    ),
    "anthropic": (
        400,
        {},
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "message": "prompt is too long: 208310 tokens > 200000 maximum"},
        },
    ),
}
BUSY: dict[str, Callable[[int], Reply]] = {
    "openai": lambda seconds: (
        429,
        {"retry-after": str(seconds)},
        {"error": {"message": "Rate limit reached", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}},
    ),
    "anthropic": lambda seconds: (
        529,
        {"retry-after": str(seconds)},
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
    ),
    "gemini": lambda seconds: (
        429,
        {},
        {
            "error": {
                "code": 429,
                "message": "You exceeded your current quota.",
                "status": "RESOURCE_EXHAUSTED",
                "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{seconds}s"}],
            }
        },
    ),
}


@contextmanager
def providers() -> Iterator[Providers]:
    found = Providers({})

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more, content = found.reply(Asked(self.path, body, headers))
            data = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {**more, "content-type": "application/json", "content-length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler) as url:
        found.environment.update(
            OPENAI_API_KEY=KEY,
            OPENAI_API_BASE=f"{url}/v1",
            OPENAI_BASE_URL=f"{url}/v1",
            ANTHROPIC_API_KEY=KEY,
            ANTHROPIC_API_BASE=url,
            GEMINI_API_KEY=KEY,
            GEMINI_API_BASE=url,
        )
        yield found
