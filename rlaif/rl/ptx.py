"""Supervised rows for the PTX mix: what keeps a policy good at what it was taught before."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlaif.data.records import FailureRecord
from rlaif.data.rows import Row
from rlaif.errors import UsageError
from rlaif.models.load import Base
from rlaif.rl.batch import Batch, collate
from rlaif.rl.rollout import Query, Rollout
from rlaif.train.data import encoded
from rlaif.train.items import Encoder, Tokens
from rlaif.train.rows import read_examples


@dataclass(frozen=True)
class Ptx:
    """draw: gives a batch of rows by number, the same for the same number. used: rows to draw from. failures: the others."""

    draw: Callable[[int], Batch]
    used: int
    failures: Sequence[FailureRecord]


def open_ptx(source: str, rows: int, base: Base, seed: int, device: Any, columns: Mapping[str, str] | None = None) -> Ptx:
    """Batches of ``rows`` rows of ``source``, which are read as ``rlaif train sft`` reads them.

    Raises UsageError where none can be used.
    """
    encoder, rollouts, failures = Encoder(base.tokenizer, base.context), list[Rollout](), list[FailureRecord]()
    for read in encoded(read_examples(source, "completions", "soft", columns=columns), encoder.items):
        if isinstance(read, FailureRecord):
            failures.append(read)
        else:
            rollouts += [_as_rollout(item.sequences[0]) for item in read[1]]
    if not rollouts:
        why = f"; the first that cannot be used: row {failures[0].row}, {failures[0].detail}" if failures else ""
        raise UsageError(f"--ptx {source}: no row with a completion, a preference or a text (--ptx-columns names columns){why}")

    def draw(number: int) -> Batch:
        chosen = random.Random(f"{seed}/ptx/{number}").choices(rollouts, k=rows)
        return collate(chosen, base.pad, device)

    return Ptx(draw, len(rollouts), failures)


def _as_rollout(tokens: Tokens) -> Rollout:
    end = tokens.others[0][0] if tokens.others else None  # of a response of several turns, the first
    response = tuple(tokens.ids[tokens.start : end])
    query = Query(Row(0, "", (), ()), "", 0, tuple(tokens.ids[: tokens.start]))
    return Rollout(query, response, (0.0,) * len(response), "", True)
