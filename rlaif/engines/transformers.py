"""The engine that runs a model in this process with transformers, on a CPU or one GPU."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.cache_utils import DynamicLayer
from transformers.utils.logging import disable_progress_bar

from rlaif.engines.base import Choice, Failure, Generation, Prompt, Sampling
from rlaif.engines.drawing import Drawing, Source, drawing
from rlaif.engines.groups import Group, batches, by_shared_prefix, each_alone
from rlaif.engines.identity import resolve
from rlaif.engines.tokens import Encoded, PromptEncoder
from rlaif.errors import UsageError
from rlaif.models.responses import exact_logits

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
CPU_TOKENS = 4096
"""Of a batch whose next token alone is read, on a CPU: what more of them hold no longer fits its caches."""


class TransformersEngine:
    """Batches sorted by length and bounded by ``batch_tokens``, for labels on a CPU by ``CPU_TOKENS``; logits only for the last
    position.

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
        generation_config: Source = "neutral",
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
        self._ends = end_tokens(self._model, self._tokenizer)
        self._drawing, self.notes = drawing(generation_config, self._model.generation_config.to_diff_dict())
        # What a text is drawn with is said by who asks for it, not by a file beside the model.
        self._model.generation_config = GenerationConfig(eos_token_id=self._ends or None)
        self._encoder = PromptEncoder(self._tokenizer)
        cache = self._forward(*self._pad([[0]]), None).past_key_values
        plain = isinstance(cache, DynamicCache) and all(type(layer) is DynamicLayer for layer in cache.layers)
        # After a shared prefix comes padding, which a sliding window or a recurrent state would count as text.
        self._arrange = by_shared_prefix if plain else each_alone
        own: int = getattr(self._model.config, "max_position_embeddings", None) or context or 4096
        self._context = min(own, context or own)
        self._batch_tokens = batch_tokens
        self._choose_tokens = batch_tokens if self._device.type == "cuda" else min(batch_tokens, CPU_TOKENS)
        self._reader, self._worker = (ThreadPoolExecutor(1, f"transformers-{name}") for name in ("reader", "engine"))
        precision = str(self._model.dtype).removeprefix("torch.")
        precision += " float32-logits" if self._model.dtype in (torch.bfloat16, torch.float16) else ""
        self.identity = f"{name} {precision} context={self._context} transformers{self._encoder.manner}{self._drawing.manner}"

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
        return await self._answer(
            prompts, 1, self._arrange, lambda groups: self._choose(groups, labels), self._choose_tokens, decided=True
        )

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]:
        return await self._answer(
            prompts,
            sampling.max_tokens,
            each_alone,
            lambda groups: self._generate(groups, sampling),
            self._batch_tokens,
            opened=sampling.thinking,
        )

    async def close(self) -> None:
        self._reader.shutdown(cancel_futures=True)
        self._worker.shutdown(cancel_futures=True)

    async def _answer(
        self,
        prompts: Sequence[Prompt],
        room: int,
        arrange: Callable[[Sequence[Encoded | Failure]], list[list[Group]]],
        ask: Callable[[list[Group]], list[T]],
        batch_tokens: int,
        decided: bool = False,
        opened: bool = False,
    ) -> list[T | Failure]:
        """Encode, leave ``room`` tokens for the answer, ask in batches of groups, put the answers back in order.

        One call's prompts are encoded beside the call before, so that the model does not wait for it.
        """
        if room >= self._context:
            raise UsageError(f"an answer of {room} tokens leaves no room for a prompt in a context of {self._context}")
        loop = asyncio.get_running_loop()
        encoded = await loop.run_in_executor(
            self._reader,
            lambda: [self._encoder.encode(prompt, self._context - room, decided=decided, opened=opened) for prompt in prompts],
        )

        def work() -> list[T | Failure]:
            answers: list[T | Failure | None] = [item if isinstance(item, Failure) else None for item in encoded]
            for groups in arrange(encoded):
                for batch in batches(groups, room, batch_tokens):
                    places = [index for group in batch for index, _ in group.members]
                    for index, answer in zip(places, self._with_memory(batch, ask), strict=True):
                        answers[index] = answer
            return answers  # type: ignore[return-value]  # every None was replaced

        return await loop.run_in_executor(self._worker, work)

    def _with_memory(self, batch: list[Group], ask: Callable[[list[Group]], list[T]]) -> list[T]:
        """Ask, and where the GPU's memory does not hold the batch, ask for its halves."""
        try:
            return ask(batch)
        except torch.cuda.OutOfMemoryError:
            if len(batch) == 1:
                raise
        torch.cuda.empty_cache()
        half = len(batch) // 2
        return self._with_memory(batch[:half], ask) + self._with_memory(batch[half:], ask)

    def _pad(self, sequences: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Left-padded ids and attention mask, both [B, T]. Any id does for padding: the mask hides it."""
        width = max(map(len, sequences))
        ids = torch.zeros(len(sequences), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, sequence in enumerate(sequences):
            ids[row, width - len(sequence) :] = torch.tensor(sequence)
            mask[row, width - len(sequence) :] = 1
        return ids.to(self._device), mask.to(self._device)

    @torch.inference_mode()
    def _choose(self, groups: list[Group], labels: list[list[int]]) -> list[Choice]:
        items = [item for group in groups for _, item in group.members]
        logprobs = self._next_token(groups)
        per_choice = torch.stack([logprobs[:, tokens].logsumexp(-1) for tokens in labels], -1).double()  # [N, C]
        masses = per_choice.exp().sum(-1).clamp(max=1.0).tolist()
        likeliest = logprobs.argmax(-1).tolist()
        return [
            Choice(tuple(row), mass, self._encoder.text([token]), len(item.ids), item.cut)
            for row, mass, token, item in zip(per_choice.tolist(), masses, likeliest, items, strict=True)
        ]

    def _next_token(self, groups: list[Group]) -> Tensor:
        """Log-probabilities [N, V] of what follows each prompt of the groups, all of which share a prefix or none does.

        A shared prefix goes through the model once; its keys and values are then repeated for the group's members.
        """
        ids, mask = self._pad([item.ids[len(group.prefix) :] for group in groups for _, item in group.members])
        past: Any = None
        if groups[0].prefix:
            prefix_ids, prefix_mask = self._pad([group.prefix for group in groups])
            past = self._forward(prefix_ids, prefix_mask, None).past_key_values
            owner = torch.tensor([row for row, group in enumerate(groups) for _ in group.members], device=self._device)
            past.batch_select_indices(owner)
            mask = torch.cat([prefix_mask[owner], mask], dim=1)
        with exact_logits(self._model):
            logits: Tensor = self._forward(ids, mask, past).logits[:, -1]
        return logits.float().log_softmax(-1)

    @torch.inference_mode()
    def _forward(self, ids: Tensor, mask: Tensor, past: Any) -> Any:
        """One pass over ids [B, T] after ``past``, with mask [B, past + T]; logits for the last position alone."""
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        return self._model(**inputs, past_key_values=past, use_cache=True, logits_to_keep=1)

    @torch.inference_mode()
    def _generate(self, groups: list[Group], sampling: Sampling) -> list[list[Generation]]:
        prompts = [item.ids for group in groups for _, item in group.members]
        ids, mask = self._pad(prompts)
        recorder = _LogprobRecorder()
        ends = [*self._ends, *(self._encoder.thought_end_ids if sampling.thinking else [])]
        with torch.random.fork_rng(devices=[self._device] if self._device.type == "cuda" else []):
            torch.manual_seed(sampling.seed_for(prompts))
            output = self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=sampling.max_tokens,
                num_return_sequences=sampling.n,
                logits_processor=LogitsProcessorList([recorder, *_warpers(self._drawing, sampling, mask)]),
                do_sample=sampling.temperature > 0,
                temperature=1.0,
                top_p=1.0,
                top_k=0,
                eos_token_id=ends,
                pad_token_id=ends[0] if ends else 0,
            )
        new = output[:, ids.shape[1] :]  # [B·n, T']
        logprobs = recorder.finish(output)
        read = [len(prompt) for prompt in prompts for _ in range(sampling.n)]
        rows = zip(new.tolist(), logprobs.tolist(), read, strict=True)
        drawn = [self._generation(tokens, values, ends, length) for tokens, values, length in rows]
        drawn = [self._encoder.thought(text) for text in drawn] if sampling.thinking else drawn
        return [drawn[start : start + sampling.n] for start in range(0, len(drawn), sampling.n)]

    def _generation(self, tokens: list[int], logprobs: list[float], ends: list[int], read: int) -> Generation:
        stop = next((index for index, token in enumerate(tokens) if token in ends), None)
        length = len(tokens) if stop is None else stop + 1
        text = self._tokenizer.decode(tokens[:length], skip_special_tokens=True)
        drawn = tuple(tokens[:length]), tuple(logprobs[:length])
        return Generation(str(text), *drawn, "length" if stop is None else "stop", read)


def _warpers(how: Drawing, sampling: Sampling, mask: Tensor) -> list[LogitsProcessor]:
    """What changes the distribution that texts are drawn from, in the order of ``Drawing``. mask: [B, T], of the prompts."""
    top_p = min(how.top_p, sampling.top_p)
    drawn: list[LogitsProcessor | None] = [
        TemperatureLogitsWarper(sampling.temperature) if sampling.temperature not in (0, 1) else None,
        MinPLogitsWarper(how.min_p) if how.min_p > 0 else None,
        TopKLogitsWarper(how.top_k) if how.top_k > 0 else None,
        TopPLogitsWarper(top_p) if top_p < 1 else None,
    ]
    penalty = _RepetitionPenalty(how.repetition_penalty, mask) if how.repetition_penalty != 1 else None
    return [each for each in (penalty, *(drawn if sampling.temperature > 0 else ())) if each]


class _RepetitionPenalty(LogitsProcessor):
    """The library's counts the padding before a prompt as if the prompt held it."""

    def __init__(self, penalty: float, mask: Tensor) -> None:
        self._penalty, self._mask = penalty, mask.bool()

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        read = self._mask.repeat_interleave(len(input_ids) // len(self._mask), 0)
        held = torch.nn.functional.pad(read, (0, input_ids.shape[1] - read.shape[1]), value=True)
        seen = torch.zeros_like(scores).scatter_add_(1, input_ids, held.to(scores.dtype)) > 0
        return torch.where(seen, torch.where(scores > 0, scores / self._penalty, scores * self._penalty), scores)


class _LogprobRecorder(LogitsProcessor):
    """Keeps the log-probability of every sampled token without keeping the logits of every step."""

    def __init__(self) -> None:
        self._previous: Tensor | None = None
        self._taken: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        self._take(input_ids)
        self._previous = scores.float().log_softmax(-1)
        broken = self._previous.isnan().any(-1, keepdim=True)  # nothing can be drawn from these: their log-probability says so
        return scores.masked_fill(broken, 0.0)

    def finish(self, output: Tensor) -> Tensor:
        """Log-probabilities [B, T'] of the new tokens of ``output`` [B, T + T'], before any temperature."""
        self._take(output)
        return torch.stack(self._taken, -1)

    def _take(self, ids: Tensor) -> None:
        if self._previous is not None:
            self._taken.append(self._previous.gather(-1, ids[:, -1:]).squeeze(-1))


def end_tokens(model: Any, tokenizer: Any) -> list[int]:
    """The tokens that end an answer, by the model's generation settings and by its tokenizer."""
    ends = model.generation_config.eos_token_id
    tokens = [ends] if isinstance(ends, int) else list(ends or [])
    return tokens if tokenizer.eos_token_id is None else sorted({*tokens, tokenizer.eos_token_id})
