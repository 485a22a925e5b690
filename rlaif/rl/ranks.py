"""An on-policy run in several processes (``torchrun``, ``accelerate launch``): each samples its share of the prompts and passes
its share of the rows; every one knows all rollouts, rewards and log-probabilities, so that baselines, whitening, running
statistics and missing verdicts are those of the whole; gradients are sums over all. The main process alone judges and writes.

With one process every function here is what its name says of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

import torch.distributed as dist
from accelerate.utils import gather_object
from torch import Tensor

from rlaif.errors import RunFailed, UsageError
from rlaif.processes import processes
from rlaif.rl.rollout import Query, Rewards, Rollout
from rlaif.rl.samplers.weights import adapter_weights, merged_weights
from rlaif.rl.shard import is_sharded

T = TypeVar("T")


def share() -> tuple[int, int]:
    """(this process's number, how many there are)."""
    return processes().process_index, processes().num_processes


def several() -> bool:
    return bool(processes().num_processes > 1)


def share_of(queries: Sequence[Query], central: bool) -> Sequence[Query]:
    """The prompts that this process samples, with all their samples. central: the main process samples all of them."""
    number, many = share()
    if central:
        return queries if number == 0 else []
    return queries[number::many]


async def of_all(work: Coroutine[Any, Any, T]) -> list[T]:
    """What ``work`` gives in each process, in every process. The first UsageError or RunFailed of any of them is raised in all.

    It waits in a thread, and asks over a group of its own: with ``--async`` an update adds up its gradients meanwhile.
    """
    result: T | None = None
    error: UsageError | RunFailed | None = None
    try:
        result = await work
    except (UsageError, RunFailed) as raised:
        error = raised
    group = _beside_updates() if several() else None
    found: list[Any] = [(result, error)]
    if group is not None:
        found *= processes().num_processes
        await asyncio.to_thread(dist.all_gather_object, found, (result, error), group=group)
    failed = next((error for _, error in found if error), None)
    if failed:
        raise failed
    results: list[T] = [result for result, _ in found]
    return results


async def on_main(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """What ``work()`` gives in the main process, in every process; its errors as in ``of_all``."""
    results: list[T] = await of_all(work() if processes().is_main_process else _nothing())
    return results[0]


@cache
def _beside_updates() -> Any:
    return dist.new_group(backend="gloo")


def add_up(*tensors: Tensor) -> None:
    """Make each the sum of what it is in all processes, in place."""
    if several():
        for work in [dist.all_reduce(tensor, async_op=True) for tensor in tensors]:
            work.wait()


def added_up(figures: Mapping[str, float]) -> dict[str, float]:
    """The sums over all processes, by name; one that had no rows has no names."""
    if not several():
        return dict(figures)
    total: dict[str, float] = {}
    for part in gather_object([dict(figures)]):
        for name, value in part.items():
            total[name] = total.get(name, 0.0) + value
    return total


async def judged_elsewhere(rollouts: Sequence[Rollout]) -> Rewards:
    """The reward source of all processes but the main one, which is never asked."""
    raise AssertionError("only the main process judges")


class NoSampler:
    """The sampler of a process that samples nothing, because the main one does for all. adapter: the main one hands over the
    policy's adapter alone."""

    def __init__(self, adapter: bool = False) -> None:
        self._adapter = adapter

    async def sample(self, queries: Sequence[Query], n: int, temperature: float, seed: int) -> AsyncIterator[list[Rollout]]:
        for _ in queries:
            raise AssertionError("only the main process samples")
        return
        yield []

    def update(self, model: Any) -> None:
        if is_sharded(model):  # the main process puts them together, for which each gives its part
            for _ in [adapter_weights(model)] if self._adapter else merged_weights(model):
                pass

    def close(self) -> None: ...


async def _nothing() -> Any:
    return None
