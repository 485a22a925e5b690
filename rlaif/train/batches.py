"""Items held out, paired wrongly on purpose, put in an order, and stacked into tensors."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Sampler

from rlaif.errors import UsageError
from rlaif.train.items import Item, Tokens

MEGABATCH = 50
"""Batches that are sorted by length together: little padding, and still a random order."""
TRIES = 32
"""Completions, in a random order, among which one of another prompt is looked for."""


class Batch(NamedTuple):
    """S sequences of each of B rows, the first of every row, then the second.

    ids, attention, response: [S·B, T], right-padded; response is true on the responses' tokens. p, margin: [B].
    reference: [S·B], empty without a reference.
    """

    ids: Tensor
    attention: Tensor
    response: Tensor
    p: Tensor
    margin: Tensor
    reference: Tensor


def collate(items: Sequence[Item], pad: int) -> Batch:
    """Stack items of the same number of sequences. pad: any id will do where the attention mask is heeded."""
    sequences = [item.sequences[place] for place in range(len(items[0].sequences)) for item in items]
    width = max(len(tokens.ids) for tokens in sequences)
    ids = torch.full((len(sequences), width), pad, dtype=torch.long)
    attention = torch.zeros_like(ids)
    response = torch.zeros_like(ids, dtype=torch.bool)
    for row, tokens in enumerate(sequences):
        ids[row, : len(tokens.ids)] = torch.tensor(tokens.ids)
        attention[row, : len(tokens.ids)] = 1
        response[row, tokens.start : len(tokens.ids)] = True
    reference = [item.reference[place] for place in range(len(items[0].reference)) for item in items]
    p, margin = torch.tensor([item.p for item in items]), torch.tensor([item.margin for item in items])
    return Batch(ids, attention, response, p, margin, torch.tensor(reference))


class LengthGrouped(Sampler[int]):
    """Indexes in an order that is random by (seed, epoch) and puts rows of like length into one batch."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths, self._batch_size, self._seed = lengths, batch_size, seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        draw = random.Random(f"{self._seed}/{self._epoch}")
        order = draw.sample(range(len(self._lengths)), len(self._lengths))
        chunk = MEGABATCH * self._batch_size
        for start in range(0, len(order), chunk):
            order[start : start + chunk] = sorted(order[start : start + chunk], key=lambda index: self._lengths[index])
        whole = len(order) // self._batch_size * self._batch_size
        batches = [order[start : start + self._batch_size] for start in range(0, whole, self._batch_size)]
        draw.shuffle(batches)
        yield from (index for batch in batches for index in batch)
        yield from order[whole:]  # the one that is not full stays last, or every batch after it would be shifted


def hold_out(items: Sequence[Item], fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """(training items, held-out items): ``fraction`` of the prompts, so that no prompt is on both sides."""
    if not fraction:
        return list(items), []
    groups = sorted({_group(item) for item in items})
    if len(groups) < 2:
        raise UsageError("--eval-fraction: the rows share one prompt, so none can be held out")
    held = set(random.Random(seed).sample(groups, min(len(groups) - 1, max(1, round(fraction * len(groups))))))
    return [item for item in items if _group(item) not in held], [item for item in items if _group(item) in held]


def _group(item: Item) -> tuple[int, ...]:
    """What may not be on both sides: the prompt, or a plain text."""
    return item.prompt if len(item.prompt) > 1 else tuple(item.sequences[0].ids)


def mismatched(items: Sequence[Item], context: int, seed: int) -> list[Item]:
    """Each completion's item with a second sequence: its prompt, and the completion of another prompt (where there is one)."""
    order = random.Random(seed).sample(range(len(items)), len(items))
    found: dict[int, Item] = {}
    for place, index in enumerate(order):
        item = items[index]
        others = (items[order[(place + step) % len(order)]] for step in range(1, min(TRIES, len(order))))
        other = next((one for one in others if one.prompt != item.prompt), item).sequences[0]
        prompt = list(item.prompt)
        wrong = Tokens((prompt + other.ids[other.start :])[:context], len(prompt))
        found[index] = replace(item, sequences=(item.sequences[0], wrong))
    return [found[index] for index in range(len(items))]


def to_device(batch: Batch, device: Any) -> Batch:
    return Batch(*(tensor.to(device) for tensor in batch))
