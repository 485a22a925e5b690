"""The sampler that runs the policy with vLLM in this process, its weights pushed after each update."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlaif.engines.base import Sampling
from rlaif.engines.installed import check_vllm
from rlaif.engines.transformers import end_tokens
from rlaif.engines.vllm import open_llm, sampled_logprobs
from rlaif.errors import RunFailed
from rlaif.models.load import Base
from rlaif.rl.config import RlConfig
from rlaif.rl.networks import POLICY, Policy
from rlaif.rl.rollout import Query, Rollout
from rlaif.rl.samplers.weights import merged_weights, prove, save_adapter
from rlaif.rl.sleep import sleeps

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AT_ONCE = 32
"""Finished responses that are handed on together: their judging begins while the others are still being sampled."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Of adapters, that vLLM has room for; smaller ones are padded."""
TOLERANCE = {True: 0.1, False: 1e-3}
"""Nats per token by which vLLM may differ from the trainer, in bfloat16 and in float32."""


class VllmSampler:
    """Samples with a continuous batch, each response at its own pace.

    source: the model that the policy began as, for its architecture. ends: tokens that end a response. context: the most
    tokens of prompt and response. bf16: sample in bfloat16, as the policy is trained. gpu_memory: vLLM's share of the GPU.
    adapter: its rank, where vLLM is to apply the policy's adapter itself; else it is merged into weights that are all handed
    over. sleep: so that the GPU's memory can be given back.

    Raises RunFailed where vLLM turns out not to sample from the weights that it is given (``weights.prove``).
    """

    def __init__(
        self,
        policy: Policy,
        tokenizer: PreTrainedTokenizerBase,
        source: str,
        *,
        ends: Sequence[int],
        max_tokens: int,
        context: int,
        bf16: bool = False,
        gpu_memory: float = 0.45,
        trust_remote_code: bool = False,
        adapter: int = 0,
        sleep: bool = False,
    ) -> None:
        self._tokenizer, self._ends, self._max_tokens = tokenizer, list(ends), max_tokens
        # Weights are handed over as tensors: the engine has to be in this process.
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        dtype = "bfloat16" if bf16 else "float32"
        options: dict[str, Any] = {"enable_sleep_mode": True} if sleep else {}
        if adapter:
            options |= {"enable_lora": True, "max_lora_rank": next(rank for rank in RANKS if rank >= adapter)}
        options["logprobs_mode"] = "processed_logprobs"
        self._llm = open_llm(source, dtype, context, trust_remote_code, gpu_memory, **options)
        self._adapter: Any = None
        self._apart = adapter > 0
        self._engine = self._llm.llm_engine
        self._worker = ThreadPoolExecutor(1, "vllm-sampler")
        self._numbers = count()
        if sleep:  # what does not come back from it shows in the proof
            self.sleep()
            self.wake()
        prove(self, policy, tokenizer, TOLERANCE[bf16])

    async def sample(self, queries: Sequence[Query], n: int, temperature: float, seed: int) -> AsyncIterator[list[Rollout]]:
        loop = asyncio.get_running_loop()
        waiting = await loop.run_in_executor(self._worker, self._start, queries, n, temperature, seed)
        try:
            while waiting:
                yield await loop.run_in_executor(self._worker, self._next, waiting)
        finally:
            if waiting:
                self._engine.abort_request(list(waiting))

    def update(self, model: Any) -> None:
        """Take over the weights, an adapter's merged. Raises RuntimeError while samples are being drawn."""
        if self._engine.has_unfinished_requests():
            raise RuntimeError("the weights cannot change while responses are being sampled")
        self._worker.submit(self._load, model).result()

    def sleep(self) -> None:
        """Give the GPU's memory back until ``wake``; then ``update`` is due."""
        # An adapter's base comes back from main memory; weights that are handed over anyway need no copy there.
        self._worker.submit(self._llm.sleep, level=1 if self._apart else 2).result()

    def wake(self) -> None:
        self._worker.submit(self._llm.wake_up).result()

    def close(self) -> None:
        self._worker.shutdown(cancel_futures=True)

    def _load(self, model: Any) -> None:
        if self._apart:
            self._load_adapter(model)
        else:
            self._load_whole(model)
        if not self._llm.reset_prefix_cache():
            raise RunFailed("vLLM does not let go of its prefix cache, so it would answer from old weights")

    def _load_adapter(self, model: Any) -> None:
        """In place of the last; vLLM reads adapters from folders alone, in all versions that are supported."""
        from vllm.lora.request import LoRARequest

        with tempfile.TemporaryDirectory() as folder:
            save_adapter(model, Path(folder))
            self._adapter = LoRARequest(POLICY, 1, folder, load_inplace=True)
            self._engine.add_lora(self._adapter)
        self._adapter = LoRARequest(POLICY, 1, folder)  # of the requests: what is loaded is not to be loaded again

    def _load_whole(self, model: Any) -> None:
        self._llm.collective_rpc("reload_weights", kwargs={"weights_iterator": merged_weights(model)})
        self._llm.apply_model(_refresh_head)

    def _start(self, queries: Sequence[Query], n: int, temperature: float, seed: int) -> dict[str, Query]:
        """Hand the queries to the engine. Returns them by the engine's names for them."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        waiting: dict[str, Query] = {}
        for query in queries:
            params = SamplingParams(
                n=n,
                temperature=temperature,
                max_tokens=self._max_tokens,
                seed=Sampling(seed=seed).seed_for((query.group, query.ids)),
                ignore_eos=True,  # what ends a response is said here, not by the model's generation settings
                stop_token_ids=self._ends,
                logprobs=0,
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            name = f"rollout-{next(self._numbers)}"
            self._engine.add_request(name, {"prompt_token_ids": list(query.ids)}, params, lora_request=self._adapter)
            waiting[name] = query
        return waiting

    def _next(self, waiting: dict[str, Query]) -> list[Rollout]:
        """Some whole groups, taken out of ``waiting``."""
        drawn: list[Rollout] = []
        while waiting and len(drawn) < AT_ONCE:
            for answer in self._engine.step():
                query = waiting.pop(answer.request_id)
                drawn += [self._rollout(query, output) for output in answer.outputs]
        return drawn

    def _rollout(self, query: Query, output: Any) -> Rollout:
        ids, ended = tuple(output.token_ids), output.finish_reason == "stop"
        text = self._tokenizer.decode(list(ids[:-1] if ended else ids), skip_special_tokens=True)
        return Rollout(query, ids, sampled_logprobs(output), str(text), ended)


def _refresh_head(model: Any) -> None:
    """On a CPU, vLLM computes logits from a packed copy of the output layer, which a reload of tied embeddings leaves as is."""
    head = getattr(model, "lm_head", None)
    if method := getattr(head, "quant_method", None):
        method.process_weights_after_loading(head)


def open_vllm(config: RlConfig, base: Base, policy: Policy) -> VllmSampler:
    """``--sampler vllm``. Raises UsageError where vLLM is not installed, or too old."""
    check_vllm("--sampler vllm")
    return VllmSampler(
        policy,
        base.tokenizer,
        base.source,
        ends=end_tokens(policy.causal, base.tokenizer),
        max_tokens=config.max_tokens,
        context=base.context,
        bf16=base.bf16,
        gpu_memory=config.sampler_memory,
        trust_remote_code=config.trust_remote_code,
        adapter=config.lora if config.sampler_adapter else 0,
        sleep=sleeps(config),
    )
