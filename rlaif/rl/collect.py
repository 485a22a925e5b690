"""Rollouts and their rewards: the critic judges the first batches while the sampler draws the next."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from rlaif.errors import UsageError
from rlaif.models.load import Base
from rlaif.rl import ranks
from rlaif.rl.config import RlConfig
from rlaif.rl.maths.shaping import truncate_at
from rlaif.rl.rollout import Query, Rewards, RewardSource, Rollout, Sampler

GREEDY = "greedy"
"""The column of a greedy response's reward."""
Cut = Callable[[Rollout], Rollout]


@dataclass(frozen=True, slots=True)
class Collected:
    """rollouts, in order of their groups, and what the source says of them. sampling: seconds until the last rollout.
    waiting: seconds from there to the last reward."""

    rollouts: list[Rollout]
    rewards: Rewards
    sampling: float
    waiting: float

    def state_dict(self) -> dict[str, Any]:
        """All of it in plain values and tensors; prompts by their rows' numbers."""
        rollouts = [
            (
                rollout.query.row.number,
                rollout.query.group,
                list(rollout.ids),
                list(rollout.logprobs),
                rollout.text,
                rollout.ended,
                rollout.query.swapped,
            )
            for rollout in self.rollouts
        ]
        rewards = {**self.rewards._asdict(), "columns": dict(self.rewards.columns), "failures": dict(self.rewards.failures)}
        return {"rollouts": rollouts, "rewards": rewards, "sampling": self.sampling, "waiting": self.waiting}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any], queries: Mapping[int, Query]) -> Collected:
        """queries: by their rows' numbers."""
        rollouts = [
            Rollout(replace(queries[number].orders[swapped], group=group), tuple(ids), tuple(logprobs), text, ended)
            for number, group, ids, logprobs, text, ended, swapped in state["rollouts"]
        ]
        return cls(rollouts, Rewards(**state["rewards"]), state["sampling"], state["waiting"])


async def collect(
    sampler: Sampler,
    source: RewardSource,
    queries: Sequence[Query],
    n: int,
    temperature: float,
    seed: int,
    cut: Cut | None,
    central: bool = False,
    sampled: Callable[[], None] | None = None,
) -> Collected:
    """n rewarded rollouts of each query, in each of its orders. cut: what becomes of each response before anyone judges it.
    sampled: called when all are sampled, though not yet judged.

    Of several processes each samples its share (central: the main one samples all), and the main one judges when all have; so
    does one process where there are two orders, of which the source sees both."""
    asked = [order for query in queries for order in query.orders]
    if ranks.several() or len(asked) > len(queries):
        mine = sampler.sample(ranks.share_of(asked, central), n, temperature, seed)
        return await _collect_together(mine, source, cut)
    began = time.monotonic()
    batches: list[list[Rollout]] = []
    judging: list[asyncio.Task[Rewards]] = []
    try:
        async for batch in sampler.sample(queries, n, temperature, seed):
            batches.append([cut(rollout) for rollout in batch] if cut else batch)
            judging.append(asyncio.create_task(_ask(source, batches[-1])))
        drawn = time.monotonic()
        if sampled:
            sampled()
        rewards = join(await asyncio.gather(*judging))
    finally:
        for task in judging:
            task.cancel()
    rollouts = list(chain.from_iterable(batches))
    order = sorted(range(len(rollouts)), key=lambda row: rollouts[row].query.group)
    sampling, waiting = drawn - began, time.monotonic() - drawn
    return Collected([rollouts[row] for row in order], take(rewards, torch.tensor(order)), sampling, waiting)


async def _collect_together(mine: AsyncIterator[list[Rollout]], source: RewardSource, cut: Cut | None) -> Collected:
    async def drawn() -> list[Rollout]:
        return [cut(rollout) if cut else rollout async for batch in mine for rollout in batch]

    began = time.monotonic()
    parts = await ranks.of_all(drawn())
    rollouts = sorted(chain.from_iterable(parts), key=lambda rollout: rollout.query.group)
    sampled = time.monotonic()
    rewards = await ranks.on_main(lambda: _ask(source, rollouts))
    return Collected(rollouts, rewards, sampled - began, time.monotonic() - sampled)


def refilled(first: Collected, groups: Collection[int], more: Collected) -> Collected:
    """``first`` without some groups, then ``more``."""
    kept = [row for row, rollout in enumerate(first.rollouts) if rollout.query.group not in groups]
    rewards = join([take(first.rewards, torch.tensor(kept, dtype=torch.long)), more.rewards])
    rollouts = [*(first.rollouts[row] for row in kept), *more.rollouts]
    return Collected(rollouts, rewards, first.sampling + more.sampling, first.waiting + more.waiting)


async def _ask(source: RewardSource, rollouts: Sequence[Rollout]) -> Rewards:
    return await source(rollouts)


def join(parts: Sequence[Rewards]) -> Rewards:
    """One after the other; a column that only some have is missing in the others."""
    names = dict.fromkeys(name for part in parts for name in part.columns)
    columns = {name: torch.cat([part.columns.get(name, _missing(part)) for part in parts]) for name in names}
    failures: dict[str, int] = {}
    for part in parts:
        for reason, many in part.failures.items():
            failures[reason] = failures.get(reason, 0) + many
    return Rewards(torch.cat([part.values for part in parts]), torch.cat([part.valid for part in parts]), columns, failures)


def beside_greedy(collected: Collected, greedy: Collected) -> Collected:
    """With the reward of the greedy response to each prompt as the column ``greedy``, NaN where it has none; a rollout without
    it is without a reward. greedy: of the same prompts, a rollout each."""
    values = {one.query.group: value for one, value in zip(greedy.rollouts, greedy.rewards.values.tolist(), strict=True)}
    column = collected.rewards.values.new_tensor([values[rollout.query.group] for rollout in collected.rollouts])
    missing = column.isnan()
    rewards = collected.rewards._replace(
        values=collected.rewards.values.masked_fill(missing, torch.nan),
        valid=collected.rewards.valid & ~missing,
        columns={**collected.rewards.columns, GREEDY: column},
    )
    sampling, waiting = collected.sampling + greedy.sampling, collected.waiting + greedy.waiting
    return Collected(collected.rollouts, rewards, sampling, waiting)


def take(rewards: Rewards, rows: Tensor) -> Rewards:
    """Some rows, in that order; the failures stay those of all."""
    columns = {name: values[rows] for name, values in rewards.columns.items()}
    return Rewards(rewards.values[rows], rewards.valid[rows], columns, rewards.failures)


def cut_at(token: int, after: int, decode: Callable[[Sequence[int]], str]) -> Cut:
    """Cuts a response behind ``token`` (``shaping.truncate_at``); one without it counts as not ended."""

    def cut(rollout: Rollout) -> Rollout:
        ids = torch.tensor([rollout.ids])
        mask, truncated = truncate_at(ids, torch.ones_like(ids, dtype=torch.bool), token, after)
        if not truncated:
            return Rollout(rollout.query, rollout.ids, rollout.logprobs, rollout.text, False)
        kept = int(mask.sum())
        return Rollout(rollout.query, rollout.ids[:kept], rollout.logprobs[:kept], decode(rollout.ids[:kept]), True)

    return cut


def open_cut(config: RlConfig, base: Base) -> Cut | None:
    """``--truncate-at``. Raises UsageError where it is not one token."""
    if config.truncate_at is None:
        return None
    ids = base.tokenizer.encode(config.truncate_at, add_special_tokens=False)
    if len(ids) != 1:
        raise UsageError(f"--truncate-at {config.truncate_at!r}: must be one token of {config.model}, found {len(ids)}")
    return cut_at(ids[0], config.truncate_after, lambda kept: str(base.tokenizer.decode(kept, skip_special_tokens=True)))


def _missing(part: Rewards) -> Tensor:
    return torch.full_like(part.values, torch.nan)
