"""Items held out, paired wrongly on purpose, put in an order, and stacked into tensors."""

from __future__ import annotations

import math
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
    reference: [S·B], empty without a reference. weights: [B, M], M = 0 where rows weigh alike. positions: [N, T] where
    sequences are packed into N rows, else empty. baseline: kto's z₀, a scalar; empty where it is not known, or not wanted.
    labels: [C, L], the tokens that begin each of a critic's C labels, filled up with −1; empty where there are none.
    counted: rows that count, B, or 0 where a row only fills a pass in which this process has nothing to do.
    """

    ids: Tensor
    attention: Tensor
    response: Tensor
    p: Tensor
    margin: Tensor
    reference: Tensor
    weights: Tensor
    positions: Tensor
    baseline: Tensor
    counted: int
    labels: Tensor = torch.tensor([])

    def take(self, sequences: slice) -> Batch:
        """The tokens of some sequences alone; all else stays."""
        return self._replace(ids=self.ids[sequences], attention=self.attention[sequences], response=self.response[sequences])


def collate(items: Sequence[Item], pad: int) -> Batch:
    """Stack items of the same number of sequences. pad: any id will do where the attention mask is heeded."""
    rows = [[item.sequences[index]] for index in range(len(items[0].sequences)) for item in items]
    ids, attention, response, _ = _stack(rows, pad)
    reference = [item.reference[index] for index in range(len(items[0].reference)) for item in items]
    p, margin = torch.tensor([item.p for item in items]), torch.tensor([item.margin for item in items])
    weights = torch.tensor([item.weights for item in items])
    none = torch.tensor([])
    labels = none
    if known := items[0].labels:
        width = max(map(len, known))
        labels = torch.tensor([[*tokens, *[-1] * (width - len(tokens))] for tokens in known])
    return Batch(ids, attention, response, p, margin, torch.tensor(reference), weights, none, none, len(items), labels)


def pack(items: Sequence[Item], pad: int, context: int) -> Batch:
    """Items of one sequence each, laid end to end in as few rows of at most ``context`` tokens as first-fit finds. Positions
    begin anew with each, by which a model keeps them apart."""
    rows: list[list[Tokens]] = []
    for item in sorted(items, key=lambda item: -item.length):
        row = next((row for row in rows if sum(len(tokens.ids) for tokens in row) + item.length <= context), None)
        if row is None:
            rows.append(row := [])
        row.append(item.sequences[0])
    ids, attention, response, positions = _stack(rows, pad)
    return collate(items, pad)._replace(ids=ids, attention=attention, response=response, positions=positions)


def _stack(rows: Sequence[Sequence[Tokens]], pad: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(ids, attention, response, positions), [N, T] each, of rows that hold one sequence after another."""
    width = max(sum(len(tokens.ids) for tokens in row) for row in rows)
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    attention, positions = torch.zeros_like(ids), torch.zeros_like(ids)
    response = torch.zeros_like(ids, dtype=torch.bool)
    for number, row in enumerate(rows):
        start = 0
        for tokens in row:
            end = start + len(tokens.ids)
            ids[number, start:end] = torch.tensor(tokens.ids)
            attention[number, start:end] = 1
            positions[number, start:end] = torch.arange(len(tokens.ids))
            response[number, start + tokens.start : end] = True
            for begin, stop in tokens.others:
                response[number, start + begin : min(start + stop, end)] = False
            start = end
    return ids, attention, response, positions


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


class MicroBatches(Sampler[list[int]]):
    """What one of several processes gives to its model at a time, one forward pass after another.

    The rows of an optimiser step are the same for any number of processes, and are dealt out evenly. Every process makes as
    many passes as the others; one for which there is no row is empty.
    """

    def __init__(self, order: LengthGrouped, batch_size: int, micro_batch: int, process: int = 0, processes: int = 1) -> None:
        self.batch_sampler = order  # the name by which the Trainer looks for what has an epoch
        self._batch_size, self._micro_batch = batch_size, micro_batch
        self._process, self._processes = process, processes

    def set_epoch(self, epoch: int) -> None:
        self.batch_sampler.set_epoch(epoch)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.batch_sampler), self._batch_size)
        return whole * self._passes(self._batch_size) + self._passes(rest)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(self.batch_sampler)
        for start in range(0, len(order), self._batch_size):
            yield from deal(order[start : start + self._batch_size], self._micro_batch, self._process, self._processes)

    def _passes(self, rows: int) -> int:
        return math.ceil(rows / (self._micro_batch * self._processes))


def deal(rows: Sequence[int], micro_batch: int, process: int, processes: int) -> list[list[int]]:
    """This process's part of the rows, in forward passes of at most ``micro_batch`` rows; as many passes as any other's."""
    many = processes * math.ceil(len(rows) / (micro_batch * processes))
    parts = [list(rows[len(rows) * place // many : len(rows) * (place + 1) // many]) for place in range(many)]
    return parts[process::processes]


def hold_out(items: Sequence[Item], fraction: float, seed: int) -> tuple[list[Item], list[Item]]:
    """(training items, held-out items): ``fraction`` of the conversations, so that none is on both sides, though a long one may
    have been cut otherwise for each of its responses. Of a plain text neither are its pieces."""
    if not fraction:
        return list(items), []
    tokens: dict[str, list[int]] = {}
    for item in items:
        own = item.sequences[0].ids[: item.sequences[0].start] if len(item.prompt) > 1 else item.sequences[0].ids
        tokens[item.group] = min(own, tokens.get(item.group, own))
    groups = sorted(tokens, key=lambda group: tokens[group])
    if len(groups) < 2:
        raise UsageError("--eval-fraction: the rows share one prompt, so none can be held out")
    held = set(random.Random(seed).sample(groups, min(len(groups) - 1, max(1, round(fraction * len(groups))))))
    return [item for item in items if item.group not in held], [item for item in items if item.group in held]


def mismatched(items: Sequence[Item], context: int, seed: int) -> list[Item]:
    """Each completion's item with a second sequence: its prompt, and the completion of another prompt (where there is one)."""
    order = random.Random(seed).sample(range(len(items)), len(items))
    paired: dict[int, Item] = {}
    for position, index in enumerate(order):
        item = items[index]
        others = (items[order[(position + step) % len(order)]] for step in range(1, min(TRIES, len(order))))
        other = next((candidate for candidate in others if candidate.group != item.group), item).sequences[0]
        wrong = other.after(list(item.prompt), context)
        paired[index] = replace(item, sequences=(item.sequences[0], wrong))
    return [paired[index] for index in range(len(items))]


def to_device(batch: Batch, device: Any) -> Batch:
    moved: Any = (value.to(device) if isinstance(value, Tensor) else value for value in batch)
    return Batch(*moved)
