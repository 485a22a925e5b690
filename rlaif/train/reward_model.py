"""The reward model's ensemble and scale: the members' own weights of the rows, and what its scores are normalised on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from rlaif.data.read import read_rows
from rlaif.data.rows import Row
from rlaif.errors import RunFailed, UsageError
from rlaif.train.items import Encoder, Item, Tokens
from rlaif.train.predict import encode, raw_scores

SAMPLES = 1024
"""Responses that the normalisation is measured on, at most: the mean is then known to a thirtieth of the spread."""


def bootstrap(items: Sequence[Item], members: int, seed: int) -> list[Item]:
    """The items with a weight for each member, drawn from an exponential distribution with mean 1.

    A weight depends on the seed, the member and the row's content alone: not on the order, the other rows, or how many
    members there are. One member learns from the rows as they are.

    Source: the Bayesian bootstrap, Rubin 1981.
    """
    if members == 1:
        return list(items)
    weighted = []
    for item in items:
        draw = random.Random(f"{seed} {[tokens.ids for tokens in item.sequences]} {item.p} {item.margin}")
        weighted.append(replace(item, weights=tuple(draw.expovariate(1.0) for _ in range(members))))
    return weighted


def reference_samples(normalise: str | None, items: Sequence[Item], encoder: Encoder, seed: int) -> list[Tokens]:
    """Up to ``SAMPLES`` responses drawn from the rows of ``normalise``, or from ``items`` where that is None.

    Raises UsageError where the rows cannot be read, or hold fewer than two responses that fit the context.
    """
    if normalise is None:
        responses = [tokens for item in items for tokens in item.sequences]
    else:
        rows = (row for row in read_rows(normalise) if isinstance(row, Row))
        encoded = (encode(encoder, row.conversation, text) for row in rows for text in _texts(row))
        responses = [tokens for tokens in encoded if tokens is not None]
        if len(responses) < 2:
            raise UsageError(f"--normalise {normalise}: needs rows with a prompt and responses, at least two in all")
    return random.Random(seed).sample(responses, min(SAMPLES, len(responses)))


def normalisation(model: Any, samples: Sequence[Tokens], pad: int) -> dict[str, list[float]]:
    """Each member's mean and standard deviation on the samples, which ``RewardModel`` takes off and divides by.

    Raises RunFailed where a member scores all samples alike: it has learnt nothing, and has no scale.
    Source: Ziegler et al. 2019, arXiv 1909.08593, §2.1 (mean 0 and variance 1 on the reference policy's samples).
    """
    std, mean = torch.std_mean(raw_scores(model, samples, pad), dim=0, correction=0)
    if not (std > 0).all():
        raise RunFailed("the reward model gives every reference sample the same score, so it has no scale")
    return {"mean": mean.tolist(), "std": std.tolist()}


def _texts(row: Row) -> list[str]:
    return [response.turns[0]["content"] for response in row.responses if len(response.turns) == 1]
