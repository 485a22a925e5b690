"""What a reward says to a trainer, and what stands for a failed verdict where the trainer knows no missing value."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from rlaif.errors import RunFailed

Text = str | Sequence[Mapping[str, Any]]
"""A prompt or a response: a text, or a list of messages with ``role`` and ``content``."""


class Judged(NamedTuple):
    """values: one for each response, None where there is no verdict. columns: what the values are made of (``principles/ID``,
    ``sources/NAME``, ``failed``), parallel to them. failures: how many have no value, by reason."""

    values: list[float | None]
    columns: dict[str, list[float | None]]
    failures: dict[str, int]


def filled(values: Sequence[float | None], groups: Sequence[Hashable]) -> list[float]:
    """Missing values as the mean of their group's others, or without any of all others.

    With a baseline by group (GRPO, RLOO) such a response has an advantage of about 0: nothing is learnt from it. How many there
    are must be told beside.

    Raises RunFailed where nothing has a value.
    """
    known: dict[Hashable, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        if value is not None:
            known.setdefault(group, []).append(value)
    if not known:
        raise RunFailed(f"none of {len(values)} responses has a reward, and this trainer knows no missing value")
    everywhere = fmean(value for some in known.values() for value in some)
    return [
        (fmean(known[group]) if group in known else everywhere) if value is None else value
        for value, group in zip(values, groups, strict=True)
    ]
