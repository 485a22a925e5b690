"""The batch APIs of OpenAI and Anthropic: many requests handed in at once and fetched within a day, at half the price.

Sources: the providers' references of ``/v1/files`` and ``/v1/batches``, and of ``/v1/messages/batches``. Answers are given in
the form of OpenAI's chat completions, whoever they come from.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, Protocol

from rlaif.engines.batch_http import asked, http, key, lines, once
from rlaif.errors import one_line

HALF = 0.5
"""Of the price."""
MOST, MOST_BYTES = 10_000, 90_000_000
"""Requests and bytes of one batch: less than either provider allows."""
SKEW = 120.0
"""Seconds by which a provider's clock may be behind."""


class Item(NamedTuple):
    """One request. name: ours, of at most 64 letters, digits and hyphens. body: a chat completion's, without the model."""

    name: str
    body: dict[str, Any]


class Standing(NamedTuple):
    """How far a batch is. done: its results can be fetched. wrong: why there are none, '' where there are."""

    done: bool
    answered: int
    wrong: str = ""


class Result(NamedTuple):
    """The answer to an item as a reply: status and content of a chat completion. wrong: why there is none, or ''."""

    name: str
    status: int = 0
    content: Mapping[str, Any] = {}
    wrong: str = ""


class Batches(Protocol):
    """A provider's batches. draws: whether one request draws several texts. logprobs: whether it gives them."""

    draws: bool
    logprobs: bool

    def submit(self, items: Sequence[Item], mark: str) -> str:
        """Hand the items in, once; the batch's id."""
        ...

    def find(self, mark: str, names: Sequence[str], since: float) -> str | None:
        """The id of a batch that was handed in, and of which the answer never came; None where it was not."""
        ...

    def standing(self, id: str) -> Standing: ...

    def results(self, id: str) -> Iterator[Result]:
        """In any order."""
        ...


class OpenAI:
    draws = logprobs = True

    def __init__(self, model: str) -> None:
        self._model = model
        base = os.environ.get("OPENAI_API_BASE") or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        self._http = http(base, {"Authorization": f"Bearer {key('OPENAI_API_KEY')}"})

    def submit(self, items: Sequence[Item], mark: str) -> str:
        rows = [
            {
                "custom_id": item.name,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": {"model": self._model, **_renamed(item.body)},
            }
            for item in items
        ]
        text = "".join(json.dumps(line) + "\n" for line in rows)
        file = asked(
            lambda: self._http.post("files", data={"purpose": "batch"}, files={"file": (f"{mark}.jsonl", text.encode())})
        )
        body = {
            "input_file_id": file["id"],
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {"rlaif": mark},
        }
        return str(once(lambda: self._http.post("batches", json=body))["id"])

    def find(self, mark: str, names: Sequence[str], since: float) -> str | None:
        after: dict[str, Any] = {}
        while True:
            page = asked(partial(self._http.get, "batches", params={"limit": 100, **after}))
            for batch in page["data"]:
                if (batch.get("metadata") or {}).get("rlaif") == mark:
                    return str(batch["id"])
            if not page.get("has_more") or not page["data"]:
                return None
            after = {"after": page["data"][-1]["id"]}

    def standing(self, id: str) -> Standing:
        batch = asked(lambda: self._http.get(f"batches/{id}"))
        status, counts = batch["status"], batch.get("request_counts") or {}
        if status == "failed":
            errors = (batch.get("errors") or {}).get("data") or []
            return Standing(True, 0, one_line("; ".join(str(error.get("message")) for error in errors) or "the batch failed"))
        return Standing(status in ("completed", "expired", "cancelled"), counts.get("completed", 0) + counts.get("failed", 0))

    def results(self, id: str) -> Iterator[Result]:
        batch = asked(lambda: self._http.get(f"batches/{id}"))
        for file in filter(None, (batch.get("output_file_id"), batch.get("error_file_id"))):
            for line in lines(self._http, f"files/{file}/content"):
                reply, error = line.get("response") or {}, line.get("error") or {}
                if error:
                    yield Result(line["custom_id"], wrong=one_line(str(error.get("message") or error.get("code"))))
                else:
                    yield Result(line["custom_id"], reply.get("status_code", 0), reply.get("body") or {})


class Anthropic:
    draws = logprobs = False

    def __init__(self, model: str) -> None:
        self._model = model
        base = os.environ.get("ANTHROPIC_API_BASE") or os.environ.get("ANTHROPIC_BASE_URL") or "https://api.anthropic.com"
        headers = {"x-api-key": key("ANTHROPIC_API_KEY"), "anthropic-version": "2023-06-01"}
        self._http = http(f"{base.rstrip('/').removesuffix('/v1')}/v1", headers)

    def submit(self, items: Sequence[Item], mark: str) -> str:
        requests = [{"custom_id": item.name, "params": {"model": self._model, **_as_message(item.body)}} for item in items]
        return str(once(lambda: self._http.post("messages/batches", json={"requests": requests}))["id"])

    def find(self, mark: str, names: Sequence[str], since: float) -> str | None:
        """A batch has no name of ours: it is one of as many requests, handed in since, with our names in its results."""
        after: dict[str, Any] = {}
        while True:
            page = asked(partial(self._http.get, "messages/batches", params={"limit": 100, **after}))
            for batch in page["data"]:
                if _instant(batch["created_at"]) < since - SKEW:
                    return None  # the newest come first
                if sum(batch["request_counts"].values()) == len(names) and self._holds(batch["id"], names[0]):
                    return str(batch["id"])
            if not page.get("has_more"):
                return None
            after = {"after_id": page["last_id"]}

    def _holds(self, id: str, name: str) -> bool:
        """Whether the batch has an item of that name: known when it has ended."""
        wait_for(lambda: self.standing(id).done)
        return any(result.name == name for result in self.results(id))

    def standing(self, id: str) -> Standing:
        batch = asked(lambda: self._http.get(f"messages/batches/{id}"))
        counts = batch["request_counts"]
        return Standing(batch["processing_status"] == "ended", sum(counts.values()) - counts["processing"])

    def results(self, id: str) -> Iterator[Result]:
        for line in lines(self._http, f"messages/batches/{id}/results"):
            result = line["result"]
            if result["type"] == "succeeded":
                yield Result(line["custom_id"], 200, _as_completion(result["message"]))
            elif result["type"] == "errored":
                error = result.get("error") or {}
                error = error.get("error") or error
                refused = error.get("type") in ("invalid_request_error", "request_too_large")
                yield Result(line["custom_id"], 400 if refused else 500, {"error": error})
            else:
                yield Result(line["custom_id"], wrong=f"the request is {result['type']}")


PROVIDERS: Mapping[str, type[OpenAI] | type[Anthropic]] = {"openai": OpenAI, "anthropic": Anthropic}
POLLS = (5.0, 10.0, 20.0, 40.0, 60.0)
"""Seconds between two looks at a batch; the last for ever."""


def wait_for(done: Callable[[], bool]) -> None:
    """Look until it is."""
    looks = 0
    while not done():
        time.sleep(POLLS[min(looks, len(POLLS) - 1)])
        looks += 1


def _renamed(body: Mapping[str, Any]) -> dict[str, Any]:
    """All of OpenAI's chat models know ``max_completion_tokens``; the newer ones nothing else."""
    return {"max_completion_tokens" if name == "max_tokens" else name: value for name, value in body.items()}


def _as_message(body: Mapping[str, Any]) -> dict[str, Any]:
    """A chat completion's body as one of Anthropic's messages, which have the system's text apart and no seed."""
    system = "\n\n".join(message["content"] for message in body["messages"] if message["role"] == "system")
    turns = [message for message in body["messages"] if message["role"] != "system"]
    kept = {name: body[name] for name in ("max_tokens", "temperature") if name in body}
    return {**kept, **({"system": system} if system else {}), "messages": turns}


_FINISH = {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "refusal": "content_filter"}


def _as_completion(message: Mapping[str, Any]) -> dict[str, Any]:
    text = "".join(block.get("text", "") for block in message.get("content") or [] if block.get("type") == "text")
    usage = message.get("usage") or {}
    choice = {"index": 0, "message": {"content": text}, "finish_reason": _FINISH.get(str(message.get("stop_reason")))}
    counted = {"prompt_tokens": usage.get("input_tokens"), "completion_tokens": usage.get("output_tokens")}
    return {"choices": [choice], "usage": counted}


def _instant(stated: str) -> float:
    return datetime.fromisoformat(stated).timestamp()
