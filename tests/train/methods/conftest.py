"""Pairs of responses, a model whose log-probabilities can be looked up, and the same numbers one at a time."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from torch import nn

from rlaif.train.batches import collate
from rlaif.train.items import Item, Tokens

VOCABULARY = 7


class Bigrams(nn.Module):
    """The next token depends on the last one alone."""

    def __init__(self):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.table = nn.Parameter(torch.randn(VOCABULARY, VOCABULARY, generator=draw))

    def forward(self, input_ids, attention_mask=None, position_ids=None, use_cache=False):
        return SimpleNamespace(logits=self.table[input_ids])


class Numbers(NamedTuple):
    """Of one pair: log-probabilities, tokens, the reference's log-probabilities, and the label."""

    c: float
    r: float
    tokens: tuple[int, int]
    rc: float
    rr: float
    p: float


@pytest.fixture
def model():
    return Bigrams()


@pytest.fixture
def items():
    sequences = [
        (Tokens([1, 2, 3, 4], 2), Tokens([1, 2, 5], 2)),
        (Tokens([1, 3, 3], 1), Tokens([1, 6, 2, 2, 1], 1)),
        (Tokens([4, 5], 1), Tokens([4, 2, 6], 1)),
    ]
    return [
        Item(pair, p, margin, reference, group=str(pair[0].ids[: pair[0].start]))
        for pair, p, margin, reference in zip(
            sequences, (0.9, 0.5, 0.2), (0.5, 0.0, 1.0), ((-3.0, -2.0), (-4.0, -6.0), (-1.0, -5.0)), strict=True
        )
    ]


@pytest.fixture
def numbers(model, items):
    """``Numbers`` of each item, by hand."""
    table = model.table.detach().double().tolist()

    def logp(tokens):
        values = []
        for before, token in zip(tokens.ids[tokens.start - 1 : -1], tokens.ids[tokens.start :], strict=True):
            row = table[before]
            values.append(row[token] - math.log(sum(map(math.exp, row))))
        return sum(values)

    return [
        Numbers(*map(logp, item.sequences), tuple(len(s.ids) - s.start for s in item.sequences), *item.reference, item.p)
        for item in items
    ]


@pytest.fixture
def total(model, items):
    """A method's total loss over the items, which must have a gradient."""

    def call(loss, **batch):
        step = loss.step(model, loss.stack(items, 0, 16)._replace(**batch))
        step.total.backward()
        assert model.table.grad.abs().sum() > 0
        return step.total.item()

    return call


@pytest.fixture
def batch(items):
    return collate(items, 0)
