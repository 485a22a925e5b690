"""The engine at the other end of HTTP: a vLLM server, or anything that speaks OpenAI's protocol.

Where the server is vLLM and its tokenizer can be had here, prompts travel as token ids and every promise of the in-process
engines holds. Elsewhere only messages can be sent: special-token spellings in untrusted text are broken up, and label
log-probabilities are read from the twenty that the protocol gives.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from rlaif.engines.base import Choice, Failure, FailureReason, Generation, Prompt, Sampling, exact_choice
from rlaif.engines.neutral import neutralise
from rlaif.errors import RunFailed, UsageError, without_secrets

PER_REQUEST = 32
"""Prompts in one request where the protocol takes several: one at a time costs the client twenty times the CPU."""
IN_FLIGHT = {"tokens": 8, "messages": 64}
"""Requests under way at once, per server."""
RETRY_AFTER = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each further try, unless the server names its own."""
FINAL = (401, 403, 404)


class ServerEngine:
    """Spreads requests over ``urls``, which must all serve the same model.

    A request that keeps failing becomes ``engine_error`` failures for its prompts; a server that cannot be reached at all
    ends the run (RunFailed): its verdicts so far are in the store, and the same command continues.
    """

    def __init__(self, urls: Sequence[str], *, tokenizer: str | None = None, context: int | None = None) -> None:
        key = os.environ.get("RLAIF_API_KEY") or os.environ.get("OPENAI_API_KEY")
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}
        bases = [_base(url) for url in urls]
        asked = [self._ask_model(base, name) for base, name in bases]
        self.urls = [base for base, _ in bases]
        self._model: str = asked[0]["id"]
        identities = {_identity(card) for card in asked}
        if len(identities) > 1:
            raise UsageError(f"the servers do not serve the same model: {', '.join(sorted(identities))}")
        self._vllm = asked[0].get("owned_by") == "vllm"
        limit = asked[0].get("max_model_len")
        self._context: int | None = min(limit, context) if limit and context else limit or context
        self._encoder = self._find_encoder(tokenizer, str(asked[0].get("root") or ""))
        way = "tokens" if self._encoder else "messages"
        self.notes: tuple[str, ...] = (
            ()
            if self._encoder
            else (
                "prompts were sent as messages: special-token spellings in untrusted text were broken up by a space, "
                "label log-probabilities come from the top 20, and over-long prompts are too_long instead of being cut",
            )
        )
        self.identity = f"{identities.pop()} {way} context={self._context}"
        self._in_flight = IN_FLIGHT[way] * len(self.urls)
        self._connection: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient, asyncio.Semaphore] | None = None
        self._turn = 0

    def check_choices(self, choices: Sequence[str]) -> None:
        if self._encoder:
            self._encoder.label_ids(choices)
            return
        for choice in choices:
            longer = [other for other in choices if other != choice and other.startswith(choice)]
            if longer:
                raise UsageError(f"the labels {choice!r} and {longer[0]!r} may begin with the same token; use other labels")

    def count_tokens(self, prompt: Prompt) -> int:
        if self._encoder:
            return int(self._encoder.count(prompt))
        return sum(len(message.text) for message in prompt) // 4  # the usual estimate for English

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice | Failure]:
        if not self._encoder:
            return await asyncio.gather(*(self._choose_by_message(prompt, choices) for prompt in prompts))
        labels = self._encoder.label_ids(choices)
        body = {
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 0,
            "logprob_token_ids": sorted({token for tokens in labels for token in tokens}),
            "return_tokens_as_token_ids": True,
        }

        def read(choice: Any, tokens: int, cut: int) -> Choice:
            entries: dict[str, float] = choice["logprobs"]["top_logprobs"][0]
            given = {int(name.removeprefix("token_id:")): value for name, value in entries.items()}
            return exact_choice(labels, given, choice["text"], tokens, cut)

        answers = await self._complete(prompts, 1, body)
        return [item if isinstance(item, Failure) else read(item[0][0], item[1], item[2]) for item in answers]

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]:
        body: dict[str, Any] = {
            "n": sampling.n,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
        }
        if sampling.pattern and self._vllm:
            body["structured_outputs"] = {"regex": sampling.pattern}

        async def draw(prompt: Prompt) -> list[Generation] | Failure:
            own = {**body, "seed": sampling.seed_for(prompt)}
            if not self._encoder:
                return await self._generate_by_message(prompt, own)
            (answer,) = await self._complete([prompt], sampling.max_tokens, {**own, "logprobs": 0, "return_token_ids": True})
            return answer if isinstance(answer, Failure) else [_generation(choice, answer[1]) for choice in answer[0]]

        return await asyncio.gather(*(draw(prompt) for prompt in prompts))

    async def close(self) -> None:
        client, _ = self._connected()
        await client.aclose()
        self._connection = None

    async def _complete(
        self, prompts: Sequence[Prompt], room: int, body: dict[str, Any]
    ) -> list[tuple[list[Any], int, int] | Failure]:
        """Per prompt: the server's choices for it, its length in tokens, and how many were cut."""
        assert self._encoder
        limit = None if self._context is None else self._context - room
        encoded = [self._encoder.encode(prompt, limit) for prompt in prompts]
        answers: list[tuple[list[Any], int, int] | Failure | None] = [e if isinstance(e, Failure) else None for e in encoded]
        fitting = [(index, item) for index, item in enumerate(encoded) if not isinstance(item, Failure)]

        async def ask(group: list[tuple[int, Any]]) -> None:
            reply = await self.post("completions", {"prompt": [item.ids for _, item in group], **body})
            if isinstance(reply, Failure) and len(group) > 1:
                await asyncio.gather(*(ask([one]) for one in group))  # one bad prompt must not take the others with it
                return
            n = body.get("n", 1)
            for place, (index, item) in enumerate(group):
                if isinstance(reply, Failure):
                    answers[index] = reply
                else:
                    answers[index] = (reply["choices"][place * n : (place + 1) * n], len(item.ids), item.cut)

        await asyncio.gather(*(ask(fitting[start : start + PER_REQUEST]) for start in range(0, len(fitting), PER_REQUEST)))
        return answers  # type: ignore[return-value]  # every None was replaced

    async def _choose_by_message(self, prompt: Prompt, choices: Sequence[str]) -> Choice | Failure:
        body = {"max_tokens": 1, "temperature": 0, "logprobs": True, "top_logprobs": 20}
        reply = await self.post("chat/completions", {"messages": _messages(prompt), **self._extra(), **body})
        if isinstance(reply, Failure):
            return reply
        choice = reply["choices"][0]
        if choice["message"].get("refusal") or choice.get("finish_reason") == "content_filter":
            return Failure(FailureReason.REFUSED, str(choice["message"].get("refusal") or "content filter"))
        content = (choice.get("logprobs") or {}).get("content")
        if not content:
            raise RunFailed(f"{self.urls[0]} gives no log-probabilities; a critic needs them (logprobs, top_logprobs)")
        tokens = (reply.get("usage") or {}).get("prompt_tokens", 0)
        return listed_choice(choices, content[0]["top_logprobs"], content[0]["token"], tokens)

    async def _generate_by_message(self, prompt: Prompt, body: dict[str, Any]) -> list[Generation] | Failure:
        reply = await self.post("chat/completions", {"messages": _messages(prompt), **self._extra(), **body})
        if isinstance(reply, Failure):
            return reply
        tokens = (reply.get("usage") or {}).get("prompt_tokens") or 0
        return [_generation({**choice, "text": choice["message"]["content"] or ""}, tokens) for choice in reply["choices"]]

    def _extra(self) -> dict[str, Any]:
        return {"chat_template_kwargs": {"enable_thinking": False}} if self._vllm else {}

    async def post(self, path: str, body: dict[str, Any]) -> Any | Failure:
        """One request, retried over all servers. A Failure concerns this request alone; RunFailed, all of them."""
        client, slots = self._connected()
        async with slots:
            problem, reached = "", False
            first, self._turn = self._turn, self._turn + 1
            for attempt, pause in enumerate((*RETRY_AFTER, None)):
                url = self.urls[(first + attempt) % len(self.urls)]  # each try at another server: one may be dead
                wait = pause
                try:
                    response = await client.post(f"{url}/{path}", json={"model": self._model, **body})
                except httpx.TransportError as error:
                    problem = without_secrets(f"{url}: {type(error).__name__} {error}".strip())
                else:
                    reached = True
                    if response.status_code == 200:
                        return response.json()
                    problem = without_secrets(f"{url}: HTTP {response.status_code}: {response.text[:300]}")
                    if response.status_code in FINAL:
                        raise RunFailed(problem)
                    if response.status_code in (400, 413, 422):
                        long = "context" in response.text or "too long" in response.text
                        return Failure(FailureReason.TOO_LONG if long else FailureReason.ENGINE_ERROR, problem)
                    stated = response.headers.get("retry-after", "")
                    wait = pause and min(float(stated), 60.0) if stated.isdigit() else pause
                if wait is not None:
                    await asyncio.sleep(wait)
        if reached:
            return Failure(FailureReason.ENGINE_ERROR, problem)
        raise RunFailed(f"no server answers any more ({problem}); verdicts so far are kept, the same command continues")

    def _connected(self) -> tuple[httpx.AsyncClient, asyncio.Semaphore]:
        """A client and its slots that belong to the running event loop: neither can move to another."""
        loop = asyncio.get_running_loop()
        if self._connection is None or self._connection[0] is not loop:
            client = httpx.AsyncClient(headers=self.headers, timeout=httpx.Timeout(600, connect=10))
            self._connection = (loop, client, asyncio.Semaphore(self._in_flight))
        return self._connection[1], self._connection[2]

    def _ask_model(self, base: str, name: str) -> dict[str, Any]:
        try:
            response = httpx.get(f"{base}/models", headers=self.headers, timeout=10)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise RunFailed(f"{base}: no server answers there ({error}); is it running, and is the URL right?") from None
        try:
            response.raise_for_status()
            cards: list[dict[str, Any]] = response.json()["data"]
            card = next((card for card in cards if card["id"] == name), None) if name else cards[0]
        except (httpx.HTTPStatusError, ValueError, KeyError, IndexError, TypeError) as error:
            raise RunFailed(f"{base}/models does not answer as an OpenAI-compatible server does: {error}") from None
        if card is None:
            raise UsageError(f"{base} serves no model {name!r}; it has {', '.join(card['id'] for card in cards)}")
        return card

    def _find_encoder(self, named: str | None, root: str) -> Any | None:
        """An encoder that provably agrees with the server's own tokenizer; None where there is none, or none is wanted."""
        required = named not in (None, "none")
        source = named or root
        if named == "none" or not source or not (self._vllm or required):
            return None
        from transformers import AutoTokenizer

        from rlaif.engines.tokens import PromptEncoder

        try:
            tokenizer = AutoTokenizer.from_pretrained(source)
        except (OSError, ValueError) as error:
            if required:
                raise UsageError(f"--tokenizer {source}: {str(error).splitlines()[0]}") from None
            return None
        probe = "Is <this> 12 tokens, or 13?\n  naïve 漢字"
        url = self.urls[0].removesuffix("/v1") + "/tokenize"
        body = {"model": self._model, "prompt": probe, "add_special_tokens": False}
        try:
            theirs = httpx.post(url, json=body, headers=self.headers, timeout=10).json().get("tokens")
        except (httpx.TransportError, ValueError, AttributeError):
            theirs = None
        if theirs != tokenizer.encode(probe, add_special_tokens=False):
            if required:
                raise UsageError(f"--tokenizer {source} does not tokenize as the server at {self.urls[0]} does")
            return None
        return PromptEncoder(tokenizer)


def listed_choice(choices: Sequence[str], listed: Sequence[dict[str, Any]], said: str, tokens: int) -> Choice:
    """A ``Choice`` from the most likely tokens that a server lists.

    A label that is not listed is less likely than the last one listed and than all that is not listed together; it gets
    that bound, which overstates it. When no label is listed, the mass is 0.
    """
    found = [[entry["logprob"] for entry in listed if entry["token"].strip() == choice] for choice in choices]
    rest = max(1.0 - sum(math.exp(entry["logprob"]) for entry in listed), 1e-12)
    bound = min([math.log(rest), *(entry["logprob"] for entry in listed)])
    per_choice = tuple(math.log(sum(map(math.exp, values))) if values else bound for values in found)
    mass = sum(math.exp(value) for values in found for value in values)
    return Choice(per_choice, min(1.0, mass), said, tokens)


def _base(url: str) -> tuple[str, str]:
    """``http://host:8000#model`` as the API's base URL and the model's name ('' where none is given)."""
    address, _, model = url.strip().partition("#")
    address = address.rstrip("/")
    return (address if address.endswith("/v1") else f"{address}/v1"), model


def _identity(card: dict[str, Any]) -> str:
    """What the server says of its model; with the content hash where the model's folder can be read here."""
    from rlaif.engines.identity import content_hash

    root = str(card.get("root") or card["id"])
    if Path(root).is_dir():
        return f"{Path(root).name}@{content_hash(Path(root))} server"
    return f"{root} server"


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    return [
        {
            "role": message.role,
            "content": "".join(part.text if part.trusted else neutralise(part.text) for part in message.segments),
        }
        for message in prompt
    ]


def _generation(choice: Any, prompt_tokens: int) -> Generation:
    ids = tuple(choice.get("token_ids") or ())
    logprobs = (choice.get("logprobs") or {}).get("token_logprobs") or ()
    finish = "length" if choice.get("finish_reason") == "length" else "stop"
    return Generation(choice["text"], ids, tuple(logprobs) if ids else (), finish, prompt_tokens)  # type: ignore[arg-type]
