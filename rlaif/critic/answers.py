"""The one way to ask an engine: look in the store, ask for what is missing, keep it as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import groupby
from typing import NamedTuple, TypeVar

from rlaif.critic.store import Answer, VerdictStore
from rlaif.critic.stored import checked
from rlaif.engines.base import Engine
from rlaif.engines.spending import Budget, budget_of

Wanted = TypeVar("Wanted")
Draw = Callable[[Sequence[Wanted]], Awaitable[Sequence[Answer]]]


class Answers(NamedTuple):
    """answers: by key. asked: how many of them an engine gave just now."""

    answers: dict[bytes, Answer]
    asked: int


async def answered(
    engine: Engine,
    wanted: Mapping[bytes, Wanted],
    draw: Draw[Wanted],
    store: VerdictStore,
    begins: Callable[[Wanted], object] = lambda one: None,
) -> Answers:
    """The answer to each of ``wanted``, by its key: as stored, or as ``draw`` gives it, kept before it is used. What
    could not be read again is no answer but a failure, whatever engine it comes from.

    draw: asks ``engine``, and answers in order. It is called once with all that is missing, unless the engine says that its
    answers may be had in pieces (``Engine``): then each piece is stored when it is there, so that a run that ends early keeps
    all that was answered. What another caller is being answered just now is not asked again: its answer is waited for.
    begins: the same for neighbours whose prompts begin alike; they stay in one piece, if it holds them, so that one server
    computes their beginning once.
    """
    answers, asked = store.get(list(wanted)), 0
    while missing := [name for name in wanted if name not in answers]:
        elsewhere = {name: store.under_way[name] for name in missing if name in store.under_way}
        own = {name: wanted[name] for name in missing if name not in elsewhere}
        size = getattr(engine, "piece", None) or max(1, len(own))
        pieces = list(_pieces(own, size, begins))
        answers |= await _drawn(own, pieces, draw, store, budget_of([engine]))
        asked += len(own)
        for name, other in elsewhere.items():
            answer = await asyncio.shield(other)
            if answer is not None:
                answers[name] = answer
    return Answers(answers, asked)


def _pieces(wanted: Mapping[bytes, Wanted], size: int, begins: Callable[[Wanted], object]) -> Iterator[list[bytes]]:
    """The names of ``wanted``, at most ``size`` at a time; no group that begins alike is cut but those that are larger."""
    piece = list[bytes]()
    for _, alike in groupby(wanted, lambda name: begins(wanted[name])):
        group = list(alike)
        if piece and len(piece) + len(group) > size:
            yield piece
            piece = []
        piece += group
        while len(piece) > size:
            yield piece[:size]
            piece = piece[size:]
    if piece:
        yield piece


async def _drawn(
    wanted: Mapping[bytes, Wanted],
    pieces: Sequence[list[bytes]],
    draw: Draw[Wanted],
    store: VerdictStore,
    budget: Budget | None,
) -> dict[bytes, Answer]:
    """The answers as they are kept, drawn a piece at a time."""
    names, kept = list(wanted), dict[bytes, Answer]()
    under_way = {name: asyncio.get_running_loop().create_future() for name in names}
    store.under_way |= under_way

    async def piece(part: list[bytes]) -> None:
        async with budget.piece() if budget else nullcontext():
            fresh = dict(zip(part, map(checked, await draw([wanted[name] for name in part])), strict=True))
            kept.update(fresh | store.put(fresh.items()))  # where another process was faster, its answer stays

    tasks = [asyncio.create_task(piece(part)) for part in pieces]
    try:
        await asyncio.gather(*tasks)
        return {name: kept[name] for name in names}
    finally:
        for task in tasks:
            task.cancel()
        for name, future in under_way.items():
            del store.under_way[name]
            future.set_result(kept.get(name))  # None where this came to nothing: a caller that waits for it asks again
