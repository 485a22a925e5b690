"""Which prompts go through the model together, and what they share.

The prompts that ask about one sample by several principles differ only after the last untrusted text: their common
beginning is computed once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rlaif.engines.base import Failure
from rlaif.engines.tokens import Encoded


class Group(NamedTuple):
    """members: (index in the call, prompt), one or more. prefix: the ids that all of them begin with; empty for one alone."""

    prefix: list[int]
    members: list[tuple[int, Encoded]]

    @property
    def longest(self) -> int:
        return max(len(item.ids) for _, item in self.members)


def by_shared_prefix(encoded: Sequence[Encoded | Failure]) -> list[list[Group]]:
    """Prompts grouped by what they hold up to the end of their untrusted text: those that share it, then those that do not.

    Failures are left out. Every prompt keeps at least its last token outside the prefix.
    """
    by_prefix: dict[tuple[int, ...], list[tuple[int, Encoded]]] = {}
    for index, item in enumerate(encoded):
        if isinstance(item, Encoded):
            end = item.untrusted[-1][1] if item.untrusted else 0
            by_prefix.setdefault(tuple(item.ids[: min(end, len(item.ids) - 1)]), []).append((index, item))
    shared = [Group(list(prefix), members) for prefix, members in by_prefix.items() if prefix and len(members) > 1]
    alone = [
        Group([], [member]) for prefix, members in by_prefix.items() if not prefix or len(members) == 1 for member in members
    ]
    return [shared, alone]


def each_alone(encoded: Sequence[Encoded | Failure]) -> list[list[Group]]:
    """Every prompt a group of its own."""
    return [[Group([], [(index, item)]) for index, item in enumerate(encoded) if isinstance(item, Encoded)]]


def batches(groups: Sequence[Group], room: int, tokens: int) -> Iterator[list[Group]]:
    """Batches of at most ``tokens`` tokens, padding and ``room`` for each answer included, or of one group.

    The longest come first: trouble with memory shows at once.
    """
    batch: list[Group] = []
    rows = 0
    for group in sorted(groups, key=lambda group: -group.longest):
        width = (batch or [group])[0].longest + room
        if batch and width * (rows + len(group.members)) > tokens:
            yield batch
            batch, rows = [], 0
        batch.append(group)
        rows += len(group.members)
    if batch:
        yield batch
