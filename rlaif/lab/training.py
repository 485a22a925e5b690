"""The loops that train the lab's models from scratch. Seeded; CPU; nothing of them is needed to use the models."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerBase, Qwen3Config, Qwen3ForCausalLM

from rlaif.lab.gold import PRINCIPLES
from rlaif.lab.judging import Sample
from rlaif.lab.muon import Muon

Tick = Callable[[int, float], None]
"""Called after each step with the number of samples it used and its loss."""
JUDGE_TOKENS, CHAT_TOKENS = 6144, 3072
"""Tokens per batch, padding included, of the critics, and of the policy and the reviser."""
CHUNK = 384
"""Samples that are sorted by length together, so that batches hold little padding."""
WARMUP = 0.05


class Sized(Protocol):
    @property
    def length(self) -> int: ...


S = TypeVar("S", bound=Sized)


class Text(NamedTuple):
    """ids: a chat. said: the half-open spans of it that the model learns to say."""

    ids: list[int]
    said: tuple[tuple[int, int], ...]

    @property
    def length(self) -> int:
        return len(self.ids)


def new_model(tokenizer: PreTrainedTokenizerBase, width: int, layers: int, heads: int, seed: int) -> Qwen3ForCausalLM:
    """A fresh Qwen3. Heads of 64 because vLLM wants them; embeddings not tied because vLLM reloads tied ones silently wrong."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=max(1, heads // 2),
        head_dim=64,
        max_position_embeddings=1024,
        tie_word_embeddings=False,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    return Qwen3ForCausalLM(config)


def train_critic(
    model: Qwen3ForCausalLM,
    samples: Iterable[Sample],
    total: int,
    labels: Mapping[str, Sequence[int]],
    tick: Tick,
    rate: float = 1.0,
) -> None:
    """Cross-entropy of the answer's first token against soft labels.

    A head that is thrown away afterwards must tell each response's gold from where the response closes: it makes the
    principles come in early.
    """
    eye = nn.Linear(model.config.hidden_size, len(PRINCIPLES))

    def loss(batch: Sequence[Sample]) -> Tensor:
        ids, positions, mask = branch_tensors(batch)
        hidden = model.model(input_ids=ids, position_ids=positions, attention_mask=mask).last_hidden_state
        rows, columns, tokens, targets = _answers(batch, labels)
        logprobs: Tensor = model.lm_head(hidden[rows, columns]).log_softmax(-1)
        judged = -(targets * logprobs.gather(1, tokens)).sum(1).mean()
        closings = [(row, end) for row, sample in enumerate(batch) for end in sample.ends]
        seen = eye(hidden[[row for row, _ in closings], [end for _, end in closings]])
        gold = torch.tensor([scores for sample in batch for scores in sample.gold])
        return judged + 0.5 * functional.binary_cross_entropy_with_logits(seen, gold)

    _train(model, [eye], _batches(samples, JUDGE_TOKENS), total, loss, tick, rate)


def train_writer(model: Qwen3ForCausalLM, texts: Iterable[Text], total: int, tick: Tick, rate: float = 1.0) -> None:
    """Next-token loss on what is said and the end of each turn."""

    def loss(batch: Sequence[Text]) -> Tensor:
        width = max(text.length for text in batch)
        ids = torch.tensor([text.ids + [0] * (width - text.length) for text in batch])
        wanted = torch.full_like(ids, -100)
        for row, text in enumerate(batch):
            for start, end in text.said:
                wanted[row, start:end] = ids[row, start:end]
        learnt = wanted[:, 1:] != -100
        logits = model.lm_head(model.model(input_ids=ids).last_hidden_state[:, :-1][learnt])
        return functional.cross_entropy(logits, wanted[:, 1:][learnt])

    _train(model, [], _batches(texts, CHAT_TOKENS), total, loss, tick, rate)


def branch_tensors(batch: Sequence[Sample]) -> tuple[Tensor, Tensor, Tensor]:
    """ids [B, T], positions [B, T] and attention mask [B, 1, T, T] of samples: each branch continues the prefix alone."""
    width = max(sample.length for sample in batch)
    ids, positions, owners = [], [], []
    for sample in batch:
        start, padding = len(sample.prefix), width - sample.length
        ids.append(sample.prefix + [token for branch in sample.branches for token in branch.ids] + [0] * padding)
        places = [start + place for branch in sample.branches for place in range(len(branch.ids))]
        positions.append([*range(start), *places, *[0] * padding])
        names = [name for name, branch in enumerate(sample.branches, 1) for _ in branch.ids]
        owners.append([0] * start + names + [-1] * padding)
    return torch.tensor(ids), torch.tensor(positions), branch_mask(torch.tensor(owners))


def branch_mask(owner: Tensor) -> Tensor:
    """Additive attention mask [B, 1, T, T] from owner [B, T]: 0 for the prefix, n for branch n, -1 for padding.

    Float, because a boolean one is converted anew in every layer.
    """
    causal = torch.ones(owner.shape[1], owner.shape[1], dtype=torch.bool).tril()
    related = (owner[:, None, :] == 0) | (owner[:, None, :] == owner[:, :, None])
    hidden = ~(causal & related)[:, None]
    return torch.zeros(hidden.shape).masked_fill_(hidden, float("-inf"))


def _answers(batch: Sequence[Sample], labels: Mapping[str, Sequence[int]]) -> tuple[list[int], list[int], Tensor, Tensor]:
    """Where each branch ends (row, column), and its label tokens and targets [N, 9], padded with zeros."""
    rows, columns, tokens, targets = [], [], [], []
    for row, sample in enumerate(batch):
        column = len(sample.prefix) - 1
        for branch in sample.branches:
            column += len(branch.ids)
            rows.append(row)
            columns.append(column)
            padding = 9 - len(branch.target)
            tokens.append([*labels[sample.mode], *[0] * padding])
            targets.append([*branch.target, *[0.0] * padding])
    return rows, columns, torch.tensor(tokens), torch.tensor(targets)


def _train(
    model: Qwen3ForCausalLM,
    extra: Sequence[nn.Module],
    batches: Iterable[list[S]],
    total: int,
    loss: Callable[[Sequence[S]], Tensor],
    tick: Tick,
    rate: float,
) -> None:
    """Muon for the matrices inside, AdamW for the rest; a short warm-up, then linearly to zero over ``total`` samples."""
    inner = [p for p in model.model.layers.parameters() if p.ndim == 2]
    inside = {id(p) for p in inner}
    rest = [p for module in (model, *extra) for p in module.parameters() if id(p) not in inside]
    optimizers = (
        (Muon(inner), 0.02 * rate),
        (torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=0.0), 0.003 * rate),
    )
    model.train()
    seen = 0
    for batch in batches:
        value = loss(batch)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, peak in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = peak * _pace(seen / total)
            optimizer.step()
            optimizer.zero_grad()
        seen += len(batch)
        tick(len(batch), value.item())
    model.eval()


def _pace(done: float) -> float:
    return min(done / WARMUP + 0.01, 1.0) * max(0.0, 1 - max(0.0, done - WARMUP) / (1 - WARMUP))


def _batches(samples: Iterable[S], tokens: int) -> Iterator[list[S]]:
    """Batches of at most ``tokens`` tokens (or of one sample), of samples of like length."""
    rng, stream = random.Random(0), iter(samples)
    while chunk := sorted(islice(stream, CHUNK), key=lambda sample: sample.length):
        batches: list[list[S]] = [[]]
        for sample in chunk:
            if (len(batches[-1]) + 1) * sample.length > tokens:
                batches.append([])
            batches[-1].append(sample)
        rng.shuffle(batches)
        yield from filter(None, batches)
