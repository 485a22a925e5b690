"""The engine that runs a model in this process with vLLM: the fast one on a GPU, and the same code on a CPU."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rlaif.engines.base import Choice, Failure, Generation, Prompt, Sampling, exact_choice
from rlaif.engines.drawing import Source, drawing
from rlaif.engines.feeding import Feeder
from rlaif.engines.identity import resolve
from rlaif.engines.tokens import Encoded, PromptEncoder
from rlaif.errors import UsageError


class VllmEngine:
    """Prompts go in as token ids; label log-probabilities come back exactly, by ``logprob_token_ids``.

    Verdicts are repeatable to about 1e-5 in float32: which prompts share a batch, and what the prefix cache holds, moves
    the last digits.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        context: int | None = None,
        trust_remote_code: bool = False,
        gpu_memory: float = 0.9,
        generation_config: Source = "neutral",
        sleep: bool = False,
        tensor_parallel: int = 1,
    ) -> None:
        source, name = resolve(model, trust_remote_code)
        options: dict[str, Any] = {"tensor_parallel_size": tensor_parallel}
        if sleep:
            options["enable_sleep_mode"] = True
        self._llm = open_llm(source, dtype, context, trust_remote_code, gpu_memory, **options)
        import vllm

        self._params = vllm.SamplingParams
        self._structured = vllm.sampling_params.StructuredOutputsParams
        self._at_the_end = vllm.sampling_params.RequestOutputKind.FINAL_ONLY
        self._encoder = PromptEncoder(self._llm.get_tokenizer())
        settings = self._llm.llm_engine.model_config
        self._drawing, self.notes = drawing(generation_config, settings.try_get_generation_config())
        self._context: int = settings.max_model_len
        self._reader = ThreadPoolExecutor(1, "vllm-reader")
        self._feeder = Feeder(self._llm.llm_engine, "vllm-engine")
        precision = str(settings.dtype).removeprefix("torch.")
        manner = f"{self._encoder.manner}{self._drawing.manner}"
        self.identity = f"{name} {precision} context={self._context} vllm-{vllm.__version__}{manner}"

    def check_choices(self, choices: Sequence[str]) -> None:
        self._encoder.label_ids(choices)

    def count_tokens(self, prompt: Prompt) -> int:
        return self._encoder.count(prompt)

    def fit(self, prompt: Prompt, room: int) -> int | Failure:
        return self._encoder.fit(prompt, self._context - room)

    def ids(self, prompt: Prompt, room: int) -> list[int]:
        return self._encoder.ids_for_label(prompt, self._context - room)

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice | Failure]:
        labels = self._encoder.label_ids(choices)
        wanted = sorted({token for tokens in labels for token in tokens})
        params = self._params(
            max_tokens=1, temperature=0.0, logprob_token_ids=wanted, detokenize=False, output_kind=self._at_the_end
        )

        def read(item: Encoded, output: Any) -> Choice:
            given = {token: entry.logprob for token, entry in output.outputs[0].logprobs[0].items()}
            text = self._encoder.text(output.outputs[0].token_ids[:1])
            return exact_choice(labels, given, text, len(item.ids), item.cut)

        answers = await self._ask(prompts, 1, lambda item: params, decided=True)
        return [answer if isinstance(answer, Failure) else read(*answer) for answer in answers]

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]:
        held = self._structured(regex=sampling.pattern) if sampling.pattern else None

        def params(item: Encoded) -> Any:
            return self._params(
                n=sampling.n,
                max_tokens=sampling.max_tokens,
                temperature=sampling.temperature,
                **self._drawing._asdict() | {"top_p": min(self._drawing.top_p, sampling.top_p)},
                seed=sampling.seed_for(item.ids),
                logprobs=0,
                structured_outputs=held,
                output_kind=self._at_the_end,
                **ending,
            )

        ending: dict[str, Any] = {}
        if sampling.thinking:
            ending = {"stop": [self._encoder.thought_end], "stop_token_ids": self._encoder.thought_end_ids}
        answers = await self._ask(prompts, sampling.max_tokens, params, opened=sampling.thinking)
        drawn = [answer if isinstance(answer, Failure) else _read(*answer) for answer in answers]
        if not sampling.thinking:
            return drawn
        return [result if isinstance(result, Failure) else [self._encoder.thought(text) for text in result] for result in drawn]

    def sleep(self) -> None:
        """Give the GPU's memory back, weights kept in main memory, until ``wake``. Nothing may be asked meanwhile."""
        self._llm.sleep(level=1)

    def wake(self) -> None:
        self._llm.wake_up()

    async def close(self) -> None:
        self._reader.shutdown(cancel_futures=True)
        await asyncio.to_thread(self._feeder.close)

    async def _ask(
        self,
        prompts: Sequence[Prompt],
        room: int,
        params: Callable[[Encoded], Any],
        decided: bool = False,
        opened: bool = False,
    ) -> list[tuple[Encoded, Any] | Failure]:
        if room >= self._context:
            raise UsageError(f"an answer of {room} tokens leaves no room for a prompt in a context of {self._context}")

        loop = asyncio.get_running_loop()
        # Encoded beside the calls before, with which these prompts then share the engine's steps.
        encoded = await loop.run_in_executor(
            self._reader,
            lambda: [self._encoder.encode(prompt, self._context - room, decided=decided, opened=opened) for prompt in prompts],
        )
        fitting = [item for item in encoded if isinstance(item, Encoded)]
        inputs = [{"prompt_token_ids": item.ids} for item in fitting]
        shapes = [params(item) for item in fitting]
        found: list[Any] = await asyncio.wrap_future(self._feeder.ask(inputs, shapes))
        outputs = iter(found)
        return [item if isinstance(item, Failure) else (item, next(outputs)) for item in encoded]


def open_llm(source: str, dtype: str, context: int | None, trust_remote_code: bool, gpu_memory: float, **options: Any) -> Any:
    """A ``vllm.LLM`` with settings that suit this machine. options: of ``vllm.LLM``, besides."""
    import torch

    cpu = not torch.cuda.is_available()
    if cpu:
        _polite_cpu()
    import vllm

    # On a CPU, blocks of the default 128 tokens would keep shorter shared prefixes out of the cache.
    small: dict[str, Any] = {"enforce_eager": True, "block_size": 32, "kv_cache_memory_bytes": 1 << 29}
    return vllm.LLM(
        model=source,
        dtype="float32" if dtype == "auto" and cpu else dtype,
        max_model_len=context,
        trust_remote_code=trust_remote_code,
        enable_prefix_caching=True,
        load_format="safetensors",
        disable_log_stats=True,
        **(small if cpu else {"gpu_memory_utilization": gpu_memory}),
        **options,
    )


def sampled_logprobs(output: Any) -> tuple[float, ...]:
    """The log-probability of each token of one of vLLM's outputs."""
    return tuple(position[token].logprob for token, position in zip(output.token_ids, output.logprobs or [], strict=False))


def _read(prompt: Encoded, answer: Any) -> list[Generation]:
    return [
        Generation(
            output.text,
            tuple(output.token_ids),
            sampled_logprobs(output),
            "length" if output.finish_reason == "length" else "stop",
            len(prompt.ids),
        )
        for output in answer.outputs
    ]


def _polite_cpu() -> None:
    """Start vLLM in seconds on a CPU, in this process, without pinning its threads to cores that others use."""
    for name, value in {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "TORCHDYNAMO_DISABLE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }.items():
        os.environ.setdefault(name, value)
