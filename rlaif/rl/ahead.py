"""The rollouts of each step: sampled when they are wanted, or with ``--async`` while earlier steps are learnt from."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from rlaif.rl import figures as of
from rlaif.rl.collect import Collected, beside_greedy, collect, refilled
from rlaif.rl.config import RlConfig
from rlaif.rl.maths.schedule import line
from rlaif.rl.parts import Parts
from rlaif.rl.rollout import Query


class Ahead:
    """Those of step t are sampled from the weights after step t − ``ahead``, whoever is faster. One step is sampled at a time;
    the next may be while rewards of the last are still waited for."""

    def __init__(self, config: RlConfig, parts: Parts) -> None:
        self._config, self._parts = config, parts
        self._steps: deque[asyncio.Task[Collected] | Collected] = deque()
        self._sampled = asyncio.Event()  # nothing is being sampled
        self._sampled.set()

    async def take(self, step: int) -> Collected:
        """The step's rollouts, wherever they come from: sampled ahead, kept in the checkpoint, or sampled now."""
        if not self._steps:
            self._begin(step)
        first = self._steps.popleft()
        return await first if isinstance(first, asyncio.Task) else first

    async def fill(self, step: int) -> None:
        """Begin the rollouts of the steps behind this one, as far as ``--async`` goes, from the weights as they are now."""
        last = min(step + self._config.ahead, self._config.steps - 1)
        for later in range(step + 1 + len(self._steps), last + 1):
            await self._sampled.wait()
            self._parts.sampler.update(self._parts.networks.policy.model)
            self._begin(later)

    async def finish(self) -> None:
        """Wait for all that has begun."""
        for place, task in enumerate(self._steps):
            self._steps[place] = await task if isinstance(task, asyncio.Task) else task

    def cancel(self) -> None:
        for task in self._steps:
            if isinstance(task, asyncio.Task):
                task.cancel()

    def state_dict(self) -> list[dict[str, Any]]:
        """All of it, once it is finished."""
        kept = [each for each in self._steps if isinstance(each, Collected)]
        assert len(kept) == len(self._steps)
        return [each.state_dict() for each in kept]

    def load_state_dict(self, state: Sequence[Mapping[str, Any]], queries: Mapping[int, Query]) -> None:
        """queries: all prompts by their rows' numbers."""
        self._steps.extend(Collected.from_state_dict(each, queries) for each in state)

    def _begin(self, step: int) -> None:
        # Prompts are drawn here, not in the task: their order must not depend on who is faster.
        queries = self._parts.prompts.draw(self._config.batch_size)
        self._sampled.clear()
        self._steps.append(asyncio.create_task(self._collect(step, queries)))

    async def _collect(self, step: int, queries: Sequence[Query]) -> Collected:
        """Rollouts of the queries; in place of those whose samples all scored alike those of others, where asked for."""
        config = self._config
        once = not (config.refill or config.greedy)  # else what is sampled next waits for rewards
        try:
            seed = (config.seed << 32) + step + 1
            collected = await self._draw(queries, step, seed, self._sampled.set if once else None)
            for again in range(1, config.refill + 1):
                alike = set(of.alike(collected.rewards, collected.rollouts))
                if not alike:
                    break
                drawn = self._parts.prompts.draw(len(alike))
                others = [replace(query, group=again * config.batch_size + query.group) for query in drawn]
                collected = refilled(collected, alike, await self._draw(others, step, seed + (again << 48)))
            return collected
        finally:
            self._sampled.set()

    async def _draw(
        self, queries: Sequence[Query], step: int, seed: int, sampled: Callable[[], None] | None = None
    ) -> Collected:
        """Rewarded rollouts of the queries, beside greedy ones where the method asks for them."""
        parts, config = self._parts, self._config
        draw = partial(collect, parts.sampler, parts.source, queries, seed=seed, cut=parts.cut, central=parts.central)
        collected = await draw(n=config.samples, temperature=temperature(config, step), sampled=sampled)
        return beside_greedy(collected, await draw(n=1, temperature=0.0)) if config.greedy else collected


def temperature(config: RlConfig, step: int) -> float:
    """Of a step's samples."""
    return line(config.temperature, config.temperature_end, step, config.steps)
