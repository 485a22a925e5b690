"""Answers that the store does not hold yet: asked of the engine, and kept as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

from rlaif.critic.store import Answer, VerdictStore
from rlaif.engines.base import Engine, Prompt


async def fresh_answers(
    engine: Engine,
    prompts: Mapping[bytes, Prompt],
    ask: Callable[[list[Prompt]], Awaitable[Sequence[Answer]]],
    store: VerdictStore | None,
) -> dict[bytes, Answer]:
    """The engine's answer to each prompt, by its key. ask: one of the engine's two calls.

    They are stored in one go, unless the engine says that its answers may be had in pieces (``Engine``): then each piece is
    stored when it is there, so that a run that ends early keeps all that was answered.
    """
    size = getattr(engine, "piece", None) or max(1, len(prompts))
    names = list(prompts)

    async def piece(some: list[bytes]) -> dict[bytes, Answer]:
        answers = dict(zip(some, await ask([prompts[name] for name in some]), strict=True))
        if store:
            store.put(answers.items())
        return answers

    tasks = [asyncio.create_task(piece(names[start : start + size])) for start in range(0, len(names), size)]
    try:
        return {name: answer for part in await asyncio.gather(*tasks) for name, answer in part.items()}
    finally:
        for task in tasks:
            task.cancel()
