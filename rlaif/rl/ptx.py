"""Supervised rows for the PTX mix: what keeps a policy good at what it was taught before."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from rlaif.data.rows import BadRow, Row
from rlaif.engines.base import Failure
from rlaif.errors import UsageError
from rlaif.models.load import Base
from rlaif.rl.batch import Batch, collate
from rlaif.rl.rollout import Query, Rollout
from rlaif.train.items import Encoder, Tokens
from rlaif.train.rows import read_examples


def open_ptx(source: str, rows: int, base: Base, seed: int, device: Any) -> Callable[[int], Batch]:
    """A function that draws ``rows`` rows of ``source`` by number, the same for the same number.

    Rows are read as ``rlaif train sft`` reads them. Raises UsageError where none can be used.
    """
    encoder, rollouts = Encoder(base.tokenizer, base.context), []
    for example in read_examples(source, "completions", "soft"):
        if not isinstance(example, BadRow):
            items = encoder.items(example)
            rollouts += [] if isinstance(items, Failure) else [_as_rollout(item.sequences[0]) for item in items]
    if not rollouts:
        raise UsageError(f"--ptx {source}: no row with a completion, a preference or a text")

    def draw(number: int) -> Batch:
        chosen = random.Random(f"{seed}/ptx/{number}").choices(rollouts, k=rows)
        return collate(chosen, base.pad, device)

    return draw


def _as_rollout(tokens: Tokens) -> Rollout:
    end = tokens.others[0][0] if tokens.others else None  # of a response of several turns, the first
    response = tuple(tokens.ids[tokens.start : end])
    query = Query(Row(0, "", (), ()), "", 0, tuple(tokens.ids[: tokens.start]))
    return Rollout(query, response, (0.0,) * len(response), "", True)
