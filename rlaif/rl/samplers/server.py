"""The sampler that asks vLLM servers, which load the policy's weights from disk after each update."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from safetensors.torch import save_file
from torch import Tensor

from rlaif.engines import handshake, replies
from rlaif.engines.base import Failure, Generation, Sampling
from rlaif.engines.installed import OLDEST, too_old
from rlaif.engines.problem import Problem, refusal
from rlaif.engines.replicas import Replica
from rlaif.engines.replies import BadReply
from rlaif.engines.server import ServerEngine
from rlaif.engines.transformers import end_tokens
from rlaif.errors import RunFailed, UsageError
from rlaif.models.load import Base
from rlaif.rl.config import RlConfig
from rlaif.rl.networks import Policy
from rlaif.rl.rollout import Query, Rollout
from rlaif.rl.samplers.vllm import AT_ONCE
from rlaif.rl.samplers.weights import merged_weights, prove, save_adapter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TOLERANCE = 0.1
"""Nats per token by which the server may differ from the trainer: it may compute in bfloat16."""
PLAIN = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
"""What a server would else take from the model's generation settings: then it would not sample from the policy."""


class _UntoldError(Exception):
    """A server did not do what it was told to."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.words)
        self.problem = problem


class ServerSampler:
    """Spreads prompts over ``urls``. The servers serve the model that the policy began as, can read ``folder``, and run with
    VLLM_SERVER_DEV_MODE=1, for the routes that change weights, and ``--logprobs-mode processed_logprobs``.

    folder: where weights are saved for the servers. ends: tokens that end a response. adapter: the servers are given the
    policy's adapter alone, and apply it; they run with ``--enable-lora`` and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True, and need no
    dev mode.

    Raises UsageError where a server's vLLM is too old, RunFailed where they turn out not to sample from the weights that they
    are given (``weights.prove``). On a CPU that is so for a model whose output layer is tied to its embeddings: vLLM keeps a
    copy of it that a reload leaves as it is.
    """

    def __init__(
        self,
        policy: Policy,
        tokenizer: PreTrainedTokenizerBase,
        urls: Sequence[str],
        folder: Path,
        *,
        ends: Sequence[int],
        max_tokens: int,
        adapter: bool = False,
    ) -> None:
        self._apart, self._version = adapter, 0
        self._engine = ServerEngine(urls, tokenizer="none")
        for server in self._engine.client.servers:
            if server.known:
                self._check_version(server)
        self._tokenizer, self._folder, self._bf16 = tokenizer, folder, policy.bf16
        self._max_tokens, self._vocabulary = max_tokens, policy.model.get_input_embeddings().num_embeddings
        self._engine.client.renew = self._renew
        self._body = {**PLAIN, "max_tokens": max_tokens, "stop_token_ids": list(ends), "ignore_eos": True, "logprobs": 0}
        prove(self, policy, tokenizer, TOLERANCE)

    async def sample(self, queries: Sequence[Query], n: int, temperature: float, seed: int) -> AsyncIterator[list[Rollout]]:
        asked = [asyncio.create_task(self._ask(query, n, temperature, seed)) for query in queries]
        rollouts: list[Rollout] = []
        try:
            for done, group in enumerate(asyncio.as_completed(asked), start=1):
                rollouts += await group
                if len(rollouts) >= AT_ONCE or done == len(asked):
                    yield rollouts
                    rollouts = []
        finally:
            for task in asked:
                task.cancel()

    def update(self, model: Any) -> None:
        """Save the weights, an adapter's merged, and have every server load them and forget what it has cached."""
        if self._apart:
            self._version += 1  # under a new name, of which nothing is cached
            shutil.rmtree(self._folder, ignore_errors=True)
            save_adapter(model, self._folder / self._name)
        else:
            self._folder.mkdir(parents=True, exist_ok=True)
            weights = {name: self._as_sent(value).to("cpu").contiguous() for name, value in merged_weights(model)}
            save_file(weights, self._folder / "model.safetensors", {"format": "pt"})
        servers = self._engine.client.servers
        with ThreadPoolExecutor(len(servers)) as threads:
            problems = list(threads.map(lambda server: self._renew(server) if server.known else None, servers))
        for server, problem in zip(servers, problems, strict=True):
            server.stale = problem is not None or not server.known
        for server, problem in zip(servers, problems, strict=True):
            if problem and problem.kind == "denied":
                needed = "--enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True" if self._apart else "VLLM_SERVER_DEV_MODE=1"
                raise RunFailed(f"{problem.words}; start the server with {needed}")
            if problem and all(other.stale for other in servers):
                raise RunFailed(problem.words)
            if problem:
                server.tell(f"did not take the weights ({problem.words})")

    @property
    def _name(self) -> str:
        """Of the adapter as it was last saved."""
        return f"policy-{self._version}"

    def _as_sent(self, value: Tensor) -> Tensor:
        """In bfloat16 where training computes in it: half to write and to read, for what a server makes of them anyway."""
        return value.bfloat16() if self._bf16 and value.is_floating_point() else value

    def _check_version(self, server: Replica) -> None:
        """Raise UsageError where a vLLM server says that it is too old; one that says nothing is taken for new."""

        def read(reply: httpx.Response) -> str:
            try:
                return str(reply.json()["version"])
            except (ValueError, KeyError, TypeError):
                return ""

        url = f"{server.url.removesuffix('/v1')}/version"
        found = handshake.ask(self._engine.client.address, url, None, read, get=True)
        if isinstance(found, str) and too_old(found):
            raise UsageError(f"--sampler {server.name}: runs vLLM {found}, {OLDEST} or newer is needed there")

    def close(self) -> None:
        """Nothing to let go of: connections belong to the event loop."""

    def _renew(self, server: Replica) -> Problem | None:
        """Have a server load the weights as they were last saved. Returns what kept it from doing so."""
        if self._apart:
            loaded = {"lora_name": self._name, "lora_path": str((self._folder / self._name).resolve())}
            try:
                self._tell(server, "v1/load_lora_adapter", loaded)
            except _UntoldError as error:
                return error.problem
            return None
        reload = {"method": "reload_weights", "kwargs": {"weights_path": str(self._folder.resolve())}}
        try:
            self._tell(server, "collective_rpc", reload)
            self._tell(server, "reset_prefix_cache", None)
        except _UntoldError as error:
            return error.problem
        return None

    def _tell(self, server: Replica, route: str, body: dict[str, Any] | None) -> None:
        url = f"{server.url.removesuffix('/v1')}/{route}"
        problem = handshake.ask(self._engine.client.address, url, body, refusal, seconds=600)
        if problem:
            raise _UntoldError(Problem(problem.kind, f"{server.name}, {route}: {problem.words}"))

    async def _ask(self, query: Query, n: int, temperature: float, seed: int) -> list[Rollout]:
        def read(content: dict[str, Any]) -> list[Rollout]:
            (drawn,) = replies.choices_of(content, 1, n)
            return [self._rollout(query, choice) for choice in drawn]

        own = {"n": n, "temperature": temperature, "seed": Sampling(seed=seed).seed_for((query.group, query.ids))}
        body = {"prompt": list(query.ids), **self._body, **own, "return_token_ids": True}
        body |= {"model": self._name} if self._apart else {}
        reply = await self._engine.client.post("completions", body, read, kind=f"sample {n}")
        if isinstance(reply, Problem):
            raise RunFailed(f"the policy's server did not answer a prompt: {reply.words}")
        return reply

    def _rollout(self, query: Query, choice: dict[str, Any]) -> Rollout:
        drawn = replies.completed(choice, len(query.ids), self._max_tokens, self._vocabulary)
        if isinstance(drawn, Failure) or not drawn.token_ids:
            raise BadReply("the reply has no tokens" if isinstance(drawn, Generation) else drawn.detail)
        ids, ended = drawn.token_ids, drawn.finish == "stop"
        text = self._tokenizer.decode(list(ids[:-1] if ended else ids), skip_special_tokens=True)
        return Rollout(query, ids, drawn.logprobs, str(text), ended)


def open_server(config: RlConfig, base: Base, policy: Policy) -> ServerSampler:
    """``--sampler URL[,URL…]``."""
    urls, ends = config.sampler.split(","), end_tokens(policy.causal, base.tokenizer)
    folder = config.out / "sampler-weights"
    return ServerSampler(
        policy,
        base.tokenizer,
        urls,
        folder,
        ends=ends,
        max_tokens=config.max_tokens,
        adapter=config.sampler_adapter,
    )
