"""The engine at the other end of HTTP: a vLLM server, or anything that speaks OpenAI's protocol.

Where the server is vLLM and its tokenizer can be had here, prompts travel as token ids and every promise of the in-process
engines holds. Elsewhere only messages can be sent: special-token spellings in untrusted text are broken up, and label
log-probabilities are read from the most likely tokens that the protocol gives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from rlaif.engines import replies
from rlaif.engines.base import Choice, Failure, Generation, Prompt, Sampling
from rlaif.engines.client import Client
from rlaif.engines.drawing import Source, drawing
from rlaif.engines.handshake import find_encoder, generation_settings, identity, meet, serves
from rlaif.engines.messages import (
    OTHERS,
    SPELLINGS,
    TOP,
    UNCUT,
    Messages,
    all_of,
    check_first_letters,
    estimated_fit,
    estimated_tokens,
)
from rlaif.engines.problem import Problem
from rlaif.engines.replicas import MOST
from rlaif.engines.replies import BadReply
from rlaif.errors import UsageError

T = TypeVar("T")
PER_REQUEST = 32
"""Prompts in one request where the protocol takes several: one at a time costs the client twenty times the CPU."""
AT_FIRST = {"tokens": 8, "messages": 64}
"""Requests under way at once, per server, to begin with."""


class Sent(NamedTuple):
    """A prompt as token ids: its place in the call, its ids, and how many were cut."""

    place: int
    ids: list[int]
    cut: int


class ServerEngine:
    """Spreads requests over ``urls``, which must all serve the same model.

    A prompt whose request keeps failing, or is never answered as it should be, is an ``engine_error``; the others are not
    disturbed. Where no server can be reached at all, RunFailed ends the run: what was answered has been kept, and the same
    command continues.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        tokenizer: str | None = None,
        context: int | None = None,
        generation_config: Source = "neutral",
    ) -> None:
        address, servers, card = meet(urls)
        self._vllm = card.vllm
        own = generation_settings(card, tokenizer) if generation_config == "model" else {}
        self._drawing, drawn = drawing(generation_config, own)
        self._context: int | None = min(card.context, context) if card.context and context else card.context or context
        self._encoder = find_encoder(address, next(server for server in servers if server.known), card, tokenizer)
        way = "tokens" if self._encoder else "messages"
        self.notes: tuple[str, ...] = (
            drawn
            if self._encoder
            else (
                *drawn,
                f"{SPELLINGS}, {TOP}, and {UNCUT}" + ("" if self._vllm else f"; {OTHERS}"),
            )
        )
        self.identity = f"{identity(card)} {way} context={self._context}{self._drawing.manner}"
        self.piece = PER_REQUEST if self._encoder else 1
        self.ahead = len(servers) * MOST * AT_FIRST[way] * self.piece
        for server in servers:
            server.limit = AT_FIRST[way]
        self.client = Client(address, servers, card.name, AT_FIRST[way], lambda http, server: serves(http, server, card))
        self.meter = self.client.meter
        self._messages = Messages(self.client, vllm=self._vllm)

    def check_choices(self, choices: Sequence[str]) -> None:
        if self._encoder:
            self._encoder.label_ids(choices)
            return
        check_first_letters(choices)

    def count_tokens(self, prompt: Prompt) -> int:
        if self._encoder:
            return int(self._encoder.count(prompt))
        return estimated_tokens(prompt)

    def fit(self, prompt: Prompt, room: int) -> int | Failure:
        if self._context is None:
            return 0
        if self._encoder:
            return self._encoder.fit(prompt, self._context - room)  # type: ignore[no-any-return]
        return estimated_fit(prompt, self._context - room)

    def ids(self, prompt: Prompt, room: int) -> list[int] | None:
        limit = None if self._context is None else self._context - room
        return self._encoder.ids_for_label(prompt, limit) if self._encoder else None

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice | Failure]:
        if not self._encoder:
            if len(prompts) == 1:  # without a task of its own
                return [await self._messages.choose(prompts[0], choices)]
            return await asyncio.gather(*(self._messages.choose(prompt, choices) for prompt in prompts))
        labels = self._encoder.label_ids(choices)
        body = {
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 0,
            "logprob_token_ids": sorted({token for tokens in labels for token in tokens}),
            "return_tokens_as_token_ids": True,
        }

        def read(drawn: list[dict[str, Any]], sent: Sent) -> Choice | Failure:
            return replies.labelled(drawn[0], labels, len(sent.ids), sent.cut)

        return await self._complete(
            prompts, 1, lambda sent: {**body, "prompt": [prompt.ids for prompt in sent]}, read, decided=True
        )

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]:
        body: dict[str, Any] = {
            "n": sampling.n,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            **(self._drawing._asdict() if self._vllm else {}),  # said each time: else a server takes the model's own
            "top_p": min(self._drawing.top_p, sampling.top_p),
        }
        if sampling.pattern and self._vllm:
            body["structured_outputs"] = {"regex": sampling.pattern}
        if sampling.thinking and not self._encoder:
            raise UsageError(
                "--thinking needs a server that takes token ids: a vLLM server whose tokenizer is here (give --tokenizer)"
            )
        if not self._encoder:
            return await asyncio.gather(*(self._messages.generate(prompt, sampling, body) for prompt in prompts))

        encoder = self._encoder
        if sampling.thinking:
            body |= {"stop": [encoder.thought_end], "stop_token_ids": encoder.thought_end_ids}

        def read(drawn: list[dict[str, Any]], sent: Sent) -> list[Generation] | Failure:
            texts = all_of([replies.completed(choice, len(sent.ids), sampling.max_tokens) for choice in drawn])
            if isinstance(texts, Failure) or not sampling.thinking:
                return texts
            return [encoder.thought(text) for text in texts]

        def ask(sent: list[Sent]) -> dict[str, Any]:
            (prompt,) = sent  # a seed of its own for each prompt
            seed = sampling.seed_for(prompts[prompt.place])
            return {**body, "prompt": [prompt.ids], "seed": seed, "logprobs": 0, "return_token_ids": True}

        opened = sampling.thinking
        return await self._complete(prompts, sampling.max_tokens, ask, read, n=sampling.n, per_request=1, opened=opened)

    async def close(self) -> None:
        await self.client.close()

    async def _complete(
        self,
        prompts: Sequence[Prompt],
        room: int,
        ask: Callable[[list[Sent]], dict[str, Any]],
        read: Callable[[list[dict[str, Any]], Sent], T | Failure],
        n: int = 1,
        per_request: int = PER_REQUEST,
        decided: bool = False,
        opened: bool = False,
    ) -> list[T | Failure]:
        """Answers to prompts that are sent as token ids, ``per_request`` at once; ``room`` tokens are left for each answer.

        ask: the body of a request. read: the answer to one prompt, from its ``n`` choices. decided, opened: as
            ``PromptEncoder.encode``.
        """
        assert self._encoder
        limit = None if self._context is None else self._context - room
        encoded = [self._encoder.encode(prompt, limit, decided=decided, opened=opened) for prompt in prompts]
        answers: list[T | Failure | None] = [prompt if isinstance(prompt, Failure) else None for prompt in encoded]
        fitting = [
            Sent(index, prompt.ids, prompt.cut) for index, prompt in enumerate(encoded) if not isinstance(prompt, Failure)
        ]

        async def request(batch: list[Sent]) -> None:
            def read_all(content: dict[str, Any]) -> list[T | Failure | BadReply]:
                choices = replies.choices_of(content, len(batch), n)
                results = [_attempt(read, drawn, sent) for drawn, sent in zip(choices, batch, strict=True)]
                wrong = [result for result in results if isinstance(result, BadReply)]
                if len(wrong) == len(results):
                    raise wrong[0]
                return results

            kind, several = f"completions {room} {len(batch)}", len(batch) > 1
            reply = await self.client.post("completions", ask(batch), read_all, kind=kind, batch=several)
            if isinstance(reply, Problem) and not several:
                answers[batch[0].place] = reply.failure
                return
            again = []
            for index, sent in enumerate(batch):
                answer = BadReply(reply.words) if isinstance(reply, Problem) else reply[index]
                if isinstance(answer, BadReply):
                    again.append(sent)
                else:
                    answers[sent.place] = answer
            await asyncio.gather(*(request([sent]) for sent in again))  # one bad prompt must not take the others with it

        await asyncio.gather(*(request(fitting[start : start + per_request]) for start in range(0, len(fitting), per_request)))
        return answers  # type: ignore[return-value]  # every None was replaced


def _attempt(read: Callable[[list[dict[str, Any]], Sent], T], drawn: list[dict[str, Any]], sent: Sent) -> T | BadReply:
    try:
        return read(drawn, sent)
    except BadReply as error:
        return error
