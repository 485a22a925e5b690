"""The one way to ask an engine: look in the store, ask for what is missing, keep it as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import nullcontext
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


async def answered(engine: Engine, wanted: Mapping[bytes, Wanted], draw: Draw[Wanted], store: VerdictStore) -> Answers:
    """The answer to each of ``wanted``, by its key: as stored, or as ``draw`` gives it, kept before it is used. What
    could not be read again is no answer but a failure, whatever engine it comes from.

    draw: asks ``engine``, and answers in order. It is called once with all that is missing, unless the engine says that its
    answers may be had in pieces (``Engine``): then each piece is stored when it is there, so that a run that ends early keeps
    all that was answered. What another caller is being answered just now is not asked again: its answer is waited for.
    """
    answers, asked = store.get(list(wanted)), 0
    while missing := [name for name in wanted if name not in answers]:
        elsewhere = {name: store.under_way[name] for name in missing if name in store.under_way}
        own = {name: wanted[name] for name in missing if name not in elsewhere}
        size = getattr(engine, "piece", None) or max(1, len(own))
        answers |= await _drawn(own, draw, store, size, budget_of([engine]))
        asked += len(own)
        for name, other in elsewhere.items():
            answer = await asyncio.shield(other)
            if answer is not None:
                answers[name] = answer
    return Answers(answers, asked)


async def _drawn(
    wanted: Mapping[bytes, Wanted], draw: Draw[Wanted], store: VerdictStore, size: int, budget: Budget | None
) -> dict[bytes, Answer]:
    """The answers as they are kept, drawn ``size`` at a time."""
    names, kept = list(wanted), dict[bytes, Answer]()
    under_way = {name: asyncio.get_running_loop().create_future() for name in names}
    store.under_way |= under_way

    async def piece(part: list[bytes]) -> None:
        async with budget.piece() if budget else nullcontext():
            fresh = dict(zip(part, map(checked, await draw([wanted[name] for name in part])), strict=True))
            kept.update(fresh | store.put(fresh.items()))  # where another process was faster, its answer stays

    tasks = [asyncio.create_task(piece(names[start : start + size])) for start in range(0, len(names), size)]
    try:
        await asyncio.gather(*tasks)
        return {name: kept[name] for name in names}
    finally:
        for task in tasks:
            task.cancel()
        for name, future in under_way.items():
            del store.under_way[name]
            future.set_result(kept.get(name))  # None where this came to nothing: a caller that waits for it asks again
