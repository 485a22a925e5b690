"""The sampler that runs the policy itself with transformers: no copy of its weights, unless it runs ahead of them."""

from __future__ import annotations

import asyncio
import copy
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from rlaif.engines.transformers import end_tokens
from rlaif.models.load import Base
from rlaif.rl.config import RlConfig
from rlaif.rl.memory import SAMPLED
from rlaif.rl.networks import Policy
from rlaif.rl.rollout import Query, Rollout
from rlaif.rl.shard import whole

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TransformersSampler:
    """Samples with a KV cache: prompts of like length together, each once through the model for all of its samples, and
    responses that have ended leave the batch.

    tokens: the most that a batch may hold, prompts, responses and padding. ahead: sample from a copy of the weights, taken by
    ``update``, because the policy's own change meanwhile, or are in parts.
    """

    def __init__(
        self, policy: Policy, tokenizer: PreTrainedTokenizerBase, ends: Sequence[int], max_tokens: int, tokens: int, ahead: bool
    ) -> None:
        self._live, self._tokenizer, self._max_tokens, self._tokens = policy, tokenizer, max_tokens, tokens
        self._policy = copy.deepcopy(policy) if ahead else policy
        self._ends = torch.tensor(ends, device=policy.model.device)
        self._worker = ThreadPoolExecutor(1, "sampler")

    async def sample(self, queries: Sequence[Query], n: int, temperature: float, seed: int) -> AsyncIterator[list[Rollout]]:
        loop = asyncio.get_running_loop()
        for batch in self._batches(queries, n):
            yield await loop.run_in_executor(self._worker, self._sample, batch, n, temperature, seed)

    def update(self, model: Any = None) -> None:
        """Take the policy's weights as they are now, where they are not sampled themselves."""
        if self._policy is not self._live:
            live = dict(self._live.model.named_parameters())
            for name, own in self._policy.model.named_parameters():
                own.data.copy_(whole(live[name].detach()))

    def close(self) -> None:
        self._worker.shutdown(cancel_futures=True)

    def _batches(self, queries: Sequence[Query], n: int) -> Iterator[list[Query]]:
        """The longest first: trouble with memory shows at once."""
        ordered = sorted(queries, key=lambda query: -len(query.ids))
        start = 0
        while start < len(ordered):
            many = max(1, self._tokens // (n * (len(ordered[start].ids) + self._max_tokens)))
            yield ordered[start : start + many]
            start += many

    def _sample(self, queries: list[Query], n: int, temperature: float, seed: int) -> list[Rollout]:
        luck = torch.cat([_luck(query, n, self._max_tokens, seed) for query in queries]).to(self._policy.model.device)
        with torch.inference_mode(), self._policy.active():
            tokens, logprobs = self._draw([query.ids for query in queries], n, temperature, luck)
        ended = torch.isin(tokens, self._ends)
        lengths = torch.where(ended.any(-1), ended.int().argmax(-1) + 1, tokens.shape[1]).tolist()
        return [
            self._rollout(queries[row // n], ids[:length], values[:length], done)
            for row, (ids, values, length, done) in enumerate(
                zip(tokens.tolist(), logprobs.tolist(), lengths, ended.any(-1).tolist(), strict=True)
            )
        ]

    def _rollout(self, query: Query, ids: list[int], logprobs: list[float], ended: bool) -> Rollout:
        text = self._tokenizer.decode(ids[:-1] if ended else ids, skip_special_tokens=True)
        return Rollout(query, tuple(ids), tuple(logprobs), str(text), ended)

    def _draw(self, prompts: Sequence[tuple[int, ...]], n: int, temperature: float, luck: Tensor) -> tuple[Tensor, Tensor]:
        """(tokens, log-probabilities), [len(prompts) · n, T] each; a row's content after its end is of no meaning.

        luck: [len(prompts) · n, max_tokens], from 0 to 1.
        """
        policy, device = self._policy, self._policy.model.device
        ids, mask = _left_padded(prompts, device)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        logits, cache = policy.next_logits(input_ids=ids, attention_mask=mask, position_ids=positions)
        logits = logits.repeat_interleave(n, 0)
        if n > 1:
            cache.batch_repeat_interleave(n)
        mask, position = mask.repeat_interleave(n, 0), (positions[:, -1:] + 1).repeat_interleave(n, 0)
        tokens = torch.full((len(logits), self._max_tokens), int(self._ends[0]) if len(self._ends) else 0, device=device)
        logprobs = torch.zeros(tokens.shape, device=device)
        rows = torch.arange(len(tokens), device=device)
        going = torch.ones_like(rows, dtype=torch.bool)
        for t in range(self._max_tokens):
            drawn, values = _choose(logits, temperature, luck[rows, t])
            tokens[rows, t], logprobs[rows, t] = drawn, values
            going &= ~torch.isin(drawn, self._ends)
            left = int(going.sum())
            if not left or t + 1 == self._max_tokens:
                return tokens[:, : t + 1], logprobs[:, : t + 1]
            if left <= DROP * len(rows):
                kept = going.nonzero().squeeze(-1)
                cache.batch_select_indices(kept)
                rows, drawn, mask, position, going = (each[kept] for each in (rows, drawn, mask, position, going))
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], 1)
            inputs = {"input_ids": drawn[:, None], "attention_mask": mask, "position_ids": position}
            logits, cache = policy.next_logits(**inputs, past_key_values=cache)
            position = position + 1
        raise AssertionError("max_tokens is at least 1")


def open_transformers(config: RlConfig, base: Base, policy: Policy) -> TransformersSampler:
    """``--sampler transformers``."""
    ends = end_tokens(policy.causal, base.tokenizer)
    tokens = config.sample_tokens or SAMPLED
    apart = bool(config.ahead) or config.shard
    return TransformersSampler(policy, base.tokenizer, ends, config.max_tokens, tokens, apart)


DROP = 0.75
"""Share of rows still going at which the others leave the batch."""


def _luck(query: Query, n: int, many: int, seed: int) -> Tensor:
    """[n, many] random numbers from 0 to 1, the prompt's own: its samples are the same in whatever batch they are drawn."""
    generator = torch.Generator().manual_seed(zlib.crc32(repr((seed, query.group, query.ids)).encode()))
    return torch.rand(n, many, dtype=torch.float64, generator=generator)


def _choose(logits: Tensor, temperature: float, luck: Tensor) -> tuple[Tensor, Tensor]:
    """(tokens, their log-probabilities at the temperature), [B] each; temperature 0 is greedy. luck: [B], from 0 to 1."""
    logprobs = (logits.float() / (temperature or 1.0)).log_softmax(-1)
    drawn = logprobs.argmax(-1, keepdim=True)
    if temperature:  # by inversion: one random number per row, where torch.multinomial draws one per token of the vocabulary
        below = logprobs.double().exp().cumsum(-1)
        drawn = torch.searchsorted(below, luck[:, None] * below[:, -1:], right=True).clamp(max=logits.shape[-1] - 1)
    return drawn.squeeze(-1), logprobs.gather(-1, drawn).squeeze(-1)


def _left_padded(prompts: Sequence[tuple[int, ...]], device: Any) -> tuple[Tensor, Tensor]:
    """Ids and attention mask, [B, P]. Any id does for padding: the mask hides it, and positions count without it."""
    width = max(map(len, prompts))
    ids, mask = torch.zeros(2, len(prompts), width, dtype=torch.long)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    return ids.to(device), mask.to(device)
