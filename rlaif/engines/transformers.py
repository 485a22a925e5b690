"""The engine that runs a model in this process with transformers, on a CPU or one GPU."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor, LogitsProcessorList
from transformers.utils.logging import disable_progress_bar

from rlaif.engines.base import Choice, Failure, Generation, Prompt, Sampling
from rlaif.engines.identity import resolve
from rlaif.engines.tokens import Encoded, PromptEncoder
from rlaif.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")


class TransformersEngine:
    """Batches sorted by length and bounded by ``batch_tokens``; logits only for the last position.

    Answers depend, in the last digits, on which prompts share a batch; the same call gives the same answers again.
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        model: str,
        *,
        dtype: str = "auto",
        context: int | None = None,
        trust_remote_code: bool = False,
        batch_tokens: int = 16_384,
    ) -> None:
        disable_progress_bar()  # of loading weights; the run has a bar of its own
        source, name = resolve(model, trust_remote_code)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        chosen = dtype if dtype != "auto" or self._device.type == "cuda" else "float32"
        self._tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
        model_class: Any = AutoModelForCausalLM
        self._model = model_class.from_pretrained(
            source, dtype=chosen, use_safetensors=True, trust_remote_code=trust_remote_code
        )
        self._model.to(self._device).eval()
        self._encoder = PromptEncoder(self._tokenizer)
        own: int = getattr(self._model.config, "max_position_embeddings", None) or context or 4096
        self._context = min(own, context or own)
        self._batch_tokens = batch_tokens
        self._reader, self._worker = (ThreadPoolExecutor(1, f"transformers-{name}") for name in ("reader", "engine"))
        precision = str(self._model.dtype).removeprefix("torch.")
        self.identity = f"{name} {precision} context={self._context} transformers"

    def check_choices(self, choices: Sequence[str]) -> None:
        self._encoder.label_ids(choices)

    def count_tokens(self, prompt: Prompt) -> int:
        return self._encoder.count(prompt)

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice | Failure]:
        labels = self._encoder.label_ids(choices)
        return await self._answer(prompts, 1, lambda batch: self._choose(batch, labels))

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]:
        return await self._answer(prompts, sampling.max_tokens, lambda batch: self._generate(batch, sampling))

    async def close(self) -> None:
        self._reader.shutdown(cancel_futures=True)
        self._worker.shutdown(cancel_futures=True)

    async def _answer(self, prompts: Sequence[Prompt], room: int, ask: Callable[[list[Encoded]], list[T]]) -> list[T | Failure]:
        """Encode, leave ``room`` tokens for the answer, ask in batches, and put the answers back in order.

        One call's prompts are encoded beside the call before, so that the model does not wait for it.
        """
        if room >= self._context:
            raise UsageError(f"an answer of {room} tokens leaves no room for a prompt in a context of {self._context}")
        loop = asyncio.get_running_loop()
        encoded = await loop.run_in_executor(
            self._reader, lambda: [self._encoder.encode(prompt, self._context - room) for prompt in prompts]
        )
        return await loop.run_in_executor(self._worker, lambda: self._ask(encoded, room, ask))

    def _ask(self, encoded: list[Encoded | Failure], room: int, ask: Callable[[list[Encoded]], list[T]]) -> list[T | Failure]:
        answers: list[T | Failure | None] = [item if isinstance(item, Failure) else None for item in encoded]
        fitting = [(index, item) for index, item in enumerate(encoded) if isinstance(item, Encoded)]
        for batch in self._batches(fitting, room):
            found = self._with_memory([item for _, item in batch], ask)
            for (index, _), answer in zip(batch, found, strict=True):
                answers[index] = answer
        return answers  # type: ignore[return-value]  # every None was replaced

    def _batches(self, items: list[tuple[int, Encoded]], room: int) -> Iterator[list[tuple[int, Encoded]]]:
        batch: list[tuple[int, Encoded]] = []
        for item in sorted(items, key=lambda item: -len(item[1].ids)):  # the longest first: memory trouble shows at once
            longest = len((batch or [item])[0][1].ids) + room
            if batch and longest * (len(batch) + 1) > self._batch_tokens:
                yield batch
                batch = []
            batch.append(item)
        if batch:
            yield batch

    def _with_memory(self, batch: list[Encoded], ask: Callable[[list[Encoded]], list[T]]) -> list[T]:
        """Ask, and where the GPU's memory does not hold the batch, ask for its halves."""
        try:
            return ask(batch)
        except torch.cuda.OutOfMemoryError:
            if len(batch) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return self._with_memory(batch[:half], ask) + self._with_memory(batch[half:], ask)

    def _pad(self, batch: list[Encoded]) -> tuple[Tensor, Tensor]:
        """Left-padded ids and attention mask, both [B, T]. Any id does for padding: the mask hides it."""
        width = max(len(item.ids) for item in batch)
        ids = torch.zeros(len(batch), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, item in enumerate(batch):
            ids[row, width - len(item.ids) :] = torch.tensor(item.ids)
            mask[row, width - len(item.ids) :] = 1
        return ids.to(self._device), mask.to(self._device)

    @torch.inference_mode()
    def _choose(self, batch: list[Encoded], labels: list[list[int]]) -> list[Choice]:
        ids, mask = self._pad(batch)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = self._model(
            input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=1
        ).logits
        logprobs = logits[:, -1].float().log_softmax(-1)  # [B, V]
        per_choice = torch.stack([logprobs[:, tokens].logsumexp(-1) for tokens in labels], -1).double()  # [B, C]
        masses = per_choice.exp().sum(-1).clamp(max=1.0).tolist()
        said = logprobs.argmax(-1).tolist()
        return [
            Choice(tuple(row), mass, self._encoder.text([token]), len(item.ids), item.cut)
            for row, mass, token, item in zip(per_choice.tolist(), masses, said, batch, strict=True)
        ]

    @torch.inference_mode()
    def _generate(self, batch: list[Encoded], sampling: Sampling) -> list[list[Generation]]:
        ids, mask = self._pad(batch)
        recorder = _LogprobRecorder()
        drawing: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if sampling.temperature > 0:
            drawing = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        ends = _end_tokens(self._model, self._tokenizer)
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(sampling.seed_for([item.ids for item in batch]))
            output = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=sampling.max_tokens,
                num_return_sequences=sampling.n,
                logits_processor=LogitsProcessorList([recorder]),
                eos_token_id=ends,
                pad_token_id=ends[0] if ends else 0,
                **drawing,
            )
        new = output[:, ids.shape[1] :]  # [B·n, T']
        logprobs = recorder.finish(output)
        drawn = [self._generation(row, values, ends) for row, values in zip(new.tolist(), logprobs.tolist(), strict=True)]
        return [drawn[start : start + sampling.n] for start in range(0, len(drawn), sampling.n)]

    def _generation(self, tokens: list[int], logprobs: list[float], ends: list[int]) -> Generation:
        stop = next((place for place, token in enumerate(tokens) if token in ends), None)
        length = len(tokens) if stop is None else stop + 1
        text = self._tokenizer.decode(tokens[:length], skip_special_tokens=True)
        return Generation(str(text), tuple(tokens[:length]), tuple(logprobs[:length]), "length" if stop is None else "stop")


class _LogprobRecorder(LogitsProcessor):
    """Keeps the log-probability of every sampled token without keeping the logits of every step."""

    def __init__(self) -> None:
        self._previous: Tensor | None = None
        self._taken: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._take(input_ids)
        self._previous = scores.float().log_softmax(-1)
        return scores

    def finish(self, output: Tensor) -> Tensor:
        """Log-probabilities [B, T'] of the new tokens of ``output`` [B, T + T'], before any temperature."""
        self._take(output)
        return torch.stack(self._taken, -1)

    def _take(self, ids: Tensor) -> None:
        if self._previous is not None:
            self._taken.append(self._previous.gather(-1, ids[:, -1:]).squeeze(-1))


def _end_tokens(model: Any, tokenizer: Any) -> list[int]:
    ends = model.generation_config.eos_token_id
    found = [ends] if isinstance(ends, int) else list(ends or [])
    return found if tokenizer.eos_token_id is None else sorted({*found, tokenizer.eos_token_id})
