"""A teacher that vLLM servers run: what they say of the policy's tokens, in the reference policy's place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from rlaif.engines import handshake, replies
from rlaif.engines.problem import Problem, read_reply
from rlaif.engines.replies import BadReply
from rlaif.engines.server import ServerEngine
from rlaif.errors import RunFailed, UsageError
from rlaif.models.load import Base
from rlaif.rl.batch import Batch


class ServedTeacher:
    """Of one or several ``urls`` that serve the same model. A KL from the teacher on the policy's own samples needs the
    teacher's log-probabilities of those tokens alone, and these a server gives of a prompt.

    Raises UsageError where a server's tokenizer is not ``base``'s, RunFailed where none answers.
    """

    def __init__(self, urls: Sequence[str], base: Base) -> None:
        self._client = ServerEngine(urls, tokenizer="none").client
        server = next(server for server in self._client.servers if server.known)
        body = {"prompt": handshake.PROBE, "add_special_tokens": False}

        def read(response: Any) -> list[int] | Problem:
            return read_reply(response.status_code, response.headers, response.content, replies.token_ids)

        theirs = handshake.ask(self._client.address, f"{server.url.removesuffix('/v1')}/tokenize", body, read)
        if isinstance(theirs, Problem):
            raise UsageError(f"--teacher {server.name}: must be a vLLM server, which says how it tokenizes ({theirs.words})")
        if theirs != base.tokenizer.encode(handshake.PROBE, add_special_tokens=False):
            raise UsageError(
                f"--teacher {server.name}: its tokenizer is not {base.source}'s; it is asked about the policy's tokens"
            )

    @contextmanager
    def active(self) -> Iterator[None]:
        """As of a network."""
        yield

    def logprobs(self, batch: Batch, temperature: float, entropy: bool = False) -> tuple[Tensor, None]:
        """(log-probabilities of the responses' tokens [B, R], 0 elsewhere; no entropies). The temperature is 1: what a server
        says of a prompt is of the model itself (``Distill``).

        Raises RunFailed where a server does not answer for a response.
        """
        found = torch.zeros(batch.mask.shape)
        for row, values in enumerate(asyncio.run(self._ask(batch))):
            found[row, : len(values)] = torch.tensor(values)
        return found.to(batch.mask.device), None

    async def _ask(self, batch: Batch) -> list[list[float]]:
        lengths = batch.lengths.tolist()
        sequences = [ids[:length] for ids, length in zip(batch.ids.tolist(), lengths, strict=True)]
        starts = [length - many for length, many in zip(lengths, batch.mask.sum(-1).tolist(), strict=True)]
        asked = (self._of(ids, start) for ids, start in zip(sequences, starts, strict=True))
        return list(await asyncio.gather(*asked))

    async def _of(self, ids: list[int], start: int) -> list[float]:
        def read(content: dict[str, Any]) -> list[float]:
            ((choice,),) = replies.choices_of(content, 1, 1)
            return said_of(choice, ids, start)

        body = {"prompt": ids, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
        reply = await self._client.post("completions", body, read, kind="teacher")
        if isinstance(reply, Problem):
            raise RunFailed(f"the teacher's server did not answer about a response: {reply.words}")
        return reply


def said_of(choice: Mapping[str, Any], ids: Sequence[int], start: int) -> list[float]:
    """The log-probability of each token of ``ids`` from ``start`` on, as a server's ``prompt_logprobs`` has it."""
    listed = choice.get("prompt_logprobs")
    if not isinstance(listed, list) or len(listed) != len(ids):
        raise BadReply("the reply has no prompt_logprobs of the prompt's length")
    found = []
    for token, entry in zip(ids[start:], listed[start:], strict=True):
        said = entry.get(str(token)) if isinstance(entry, dict) else None
        value = said.get("logprob") if isinstance(said, dict) else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not -1e9 < value <= replies.ROUNDING:
            raise BadReply(f"a log-probability of the prompt is {value!r}")
        found.append(min(0.0, float(value)))
    return found
