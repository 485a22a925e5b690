"""The reward model: a score per member and conversation, from ``AutoModelForSequenceClassification`` with a label for each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from rlaif.data.read import read_rows
from rlaif.data.rows import Row
from rlaif.errors import RunFailed, UsageError
from rlaif.train import losses
from rlaif.train.batches import Batch
from rlaif.train.config import Reward
from rlaif.train.items import Encoder, Item, Tokens
from rlaif.train.objectives import Objective, Step, accuracy, by_row
from rlaif.train.predict import encode, raw_scores

SAMPLES = 1024
"""Responses that the normalisation is measured on, at most: the mean is then known to a thirtieth of the spread."""


def objective(settings: Reward) -> Objective:
    """Bradley–Terry on the scores of both responses, with soft labels; the mean over members, each with its own weights of the
    rows. ``margin`` and ``accuracy`` are the ensemble's: of its mean score."""

    def step(model: Any, batch: Batch) -> Step:
        scores = model(input_ids=batch.ids, attention_mask=batch.attention).logits.float()
        chosen, rejected = scores.chunk(2)
        p, demanded = batch.p[:, None], settings.margin * batch.margin[:, None]
        values = losses.bradley_terry(chosen, rejected, p, demanded, settings.centre)
        if batch.weights.shape[-1]:
            values = values * batch.weights
        margin = (chosen - rejected).mean(-1)
        return by_row(values.mean(-1), {"margin": margin, "accuracy": accuracy(margin, batch.p), "score": scores.mean()})

    return step


def bootstrap(items: Sequence[Item], members: int, seed: int) -> list[Item]:
    """The items with a weight for each member, drawn from an exponential distribution with mean 1.

    A weight depends on the seed, the member and the row's content alone: not on the order, the other rows, or how many
    members there are. One member learns from the rows as they are.

    Source: the Bayesian bootstrap, Rubin 1981.
    """
    if members == 1:
        return list(items)
    found = []
    for item in items:
        draw = random.Random(f"{seed} {[tokens.ids for tokens in item.sequences]} {item.p} {item.margin}")
        found.append(replace(item, weights=tuple(draw.expovariate(1.0) for _ in range(members))))
    return found


def reference_samples(settings: Reward, items: Sequence[Item], encoder: Encoder, seed: int) -> list[Tokens]:
    """Up to ``SAMPLES`` responses drawn from the rows of ``settings.normalise``, or from ``items`` where that is None.

    Raises UsageError where the rows cannot be read, or hold fewer than two responses that fit the context.
    """
    if settings.normalise is None:
        found = [tokens for item in items for tokens in item.sequences]
    else:
        rows = (row for row in read_rows(settings.normalise) if isinstance(row, Row))
        encoded = (encode(encoder, row.conversation, text) for row in rows for text in _texts(row))
        found = [tokens for tokens in encoded if tokens is not None]
        if len(found) < 2:
            raise UsageError(f"--normalise {settings.normalise}: needs rows with a prompt and responses, at least two in all")
    return random.Random(seed).sample(found, min(SAMPLES, len(found)))


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
