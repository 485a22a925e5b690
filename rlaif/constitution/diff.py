"""What changed between two constitutions, principle by principle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rlaif.constitution.types import WORDING_KEYS, Constitution, Principle

ASKED = ("compare", "score", "rank", "critique", "revise")
"""The modes in which a principle is asked about; for ``rank`` it has no wording of its own."""


class Change(NamedTuple):
    """One difference. principle: its id; None for the constitution itself. what: ``added``, ``removed``, or the key that
    differs. modes: those in which the critic is asked something new.
    """

    principle: str | None
    what: str
    before: object
    after: object
    modes: tuple[str, ...] = ()


def differences(before: Constitution, after: Constitution) -> Iterator[Change]:
    """Every difference that could change a verdict or what is made of it; names, versions and comments could not."""
    if before.aggregate != after.aggregate:
        yield Change(None, "aggregate", before.aggregate, after.aggregate)
    old, new = ({principle.id: principle for principle in constitution.principles} for constitution in (before, after))
    for name in old:
        if name not in new:
            yield Change(name, "removed", old[name].text, None)
    for name, principle in new.items():
        if name not in old:
            yield Change(name, "added", None, principle.text, ASKED)
        else:
            yield from _changed(old[name], principle)


def _changed(old: Principle, new: Principle) -> Iterator[Change]:
    if old.text != new.text:
        reading = tuple(mode for mode in ASKED if mode not in old.wordings and mode not in new.wordings)
        yield Change(new.id, "text", old.text, new.text, reading)
    for mode in WORDING_KEYS:
        before, after = old.wordings.get(mode), new.wordings.get(mode)
        if before != after:
            yield Change(new.id, mode, before, after, (mode,))
    for key in ("weight", "gate", "when", "examples"):
        before, after = getattr(old, key), getattr(new, key)
        if before != after:
            yield Change(new.id, key, before, after)
