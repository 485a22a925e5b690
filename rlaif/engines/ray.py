"""The engine on many machines: Ray actors hold replicas of one in-process engine, and each call goes to one of them whole.

What is asked, in which calls, and what is kept is decided in this process as for any engine, so that stores and files are those
of one process, and nothing has to be merged. A replica that is lost, with its process or its node, costs no answer: its calls
go to the others, and it takes part again when Ray has started it anew. Those that find no room start when a node joins.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from rlaif.engines.base import Choice, Failure, Generation, Prompt, Sampling
from rlaif.engines.config import EngineConfig
from rlaif.errors import RunFailed, UsageError, one_line, warn

AHEAD = 2048
"""Questions under way for each replica: as for one engine in process."""
TRIES = 4
"""Replicas that may be lost with one call in hand before the call is what loses them."""
PATIENCE = 600.0
"""Seconds without any replica after which the run ends."""
PAUSE = 0.5
"""Seconds between two looks."""
LOADING = 120.0
"""Seconds after which the user is told what the run waits for."""


class About(NamedTuple):
    """What a replica says of its engine."""

    identity: str
    notes: tuple[str, ...]


class Held:
    """What an actor holds: the engine, opened where the actor is."""

    def __init__(self, config: EngineConfig) -> None:
        self._engine = config.open()

    async def about(self) -> About:
        return About(self._engine.identity, self._engine.notes)

    async def ask(self, method: str, *given: Any) -> Any:
        """What a method of the engine's returns."""
        found = getattr(self._engine, method)(*given)
        return await found if asyncio.iscoroutine(found) else found


@dataclass(eq=False)
class Replica:
    """An actor. there: it answers. flying: calls that it has."""

    actor: Any
    there: bool = False
    flying: int = 0


class RayEngine:
    """Asks as many actors as ``config.replicas``, each with the GPUs that ``config.tensor_parallel`` says where the cluster has
    any.

    Raises UsageError where the engine cannot be opened. A run for which no replica is left ends with RunFailed: what was
    answered has been kept, and the same command continues.
    """

    def __init__(self, config: EngineConfig) -> None:
        import ray

        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        self._ray = ray
        if not ray.is_initialized():  # the cluster that RAY_ADDRESS names or this machine belongs to, else one of it alone
            ray.init(log_to_driver=False, include_dashboard=False, logging_level="ERROR")
        gpus = int(ray.cluster_resources().get("GPU", 0))
        many = config.replicas or max(1, gpus // config.tensor_parallel)
        needs = {"num_gpus": config.tensor_parallel} if gpus else {"num_cpus": 1}
        held = ray.remote(Held).options(max_restarts=-1, max_concurrency=1000, **needs)
        alone = replace(config, engine="auto", replicas=None)
        self._replicas = [Replica(held.remote(alone)) for _ in range(many)]
        try:
            first = self._first()
        except UsageError:
            self._end()
            raise
        self.identity, self.notes = first.identity, first.notes
        self.ahead = AHEAD * many
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching = set[asyncio.Task[None]]()

    def check_choices(self, choices: Sequence[str]) -> None:
        self._now("check_choices", choices)

    def count_tokens(self, prompt: Prompt) -> int:
        return int(self._now("count_tokens", prompt))

    def fit(self, prompt: Prompt, room: int) -> int | Failure:
        return self._now("fit", prompt, room)  # type: ignore[no-any-return]

    def ids(self, prompt: Prompt, room: int) -> list[int]:
        return list(self._now("ids", prompt, room))

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice | Failure]:
        return list(await self._asked("choose", prompts, choices))

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]:
        return list(await self._asked("generate", prompts, sampling))

    async def close(self) -> None:
        if self._loop is asyncio.get_running_loop():  # those of a loop that has ended are ended with it
            for task in self._watching:
                task.cancel()
            await asyncio.gather(*self._watching, return_exceptions=True)
        await asyncio.to_thread(self._end)

    def _first(self) -> About:
        """What the first replica that is there says. Raises UsageError where its engine cannot be opened."""
        names = {replica.actor.about.remote(): replica for replica in self._replicas}
        waited = False
        while not (found := self._ray.wait(list(names), timeout=LOADING)[0]):
            if not waited:
                warn("--engine ray: no replica is open yet: the model is being loaded, or no node has room for it (ray status)")
            waited = True
        ready = found[0]
        try:
            about: About = self._ray.get(ready)
        except self._ray.exceptions.RayError as error:
            raise UsageError(f"--engine ray: no replica could be opened: {_why(error)}") from None
        names[ready].there = True
        return about

    def _now(self, method: str, *given: Any) -> Any:
        """What a replica that is there says at once."""
        there = next(replica for replica in self._replicas if replica.there)
        try:
            return self._ray.get(there.actor.ask.remote(method, *given))
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UsageError):
                raise error.cause from None
            raise RunFailed(f"--engine ray: a replica failed: {_why(error)}") from None

    async def _asked(self, method: str, *given: Any) -> Any:
        """What one of the replicas answers."""
        self._begin()
        why = ""
        for _ in range(TRIES):
            replica = await self._least_busy()
            replica.flying += 1
            try:
                return await replica.actor.ask.remote(method, *given)
            except self._ray.exceptions.RayError as error:
                if isinstance(cause := getattr(error, "cause", None), UsageError):
                    raise cause from None
                why = _why(error)
                self._lose(replica, why, broken=isinstance(error, self._ray.exceptions.RayTaskError))
            finally:
                replica.flying -= 1
        raise RunFailed(f"--engine ray: {TRIES} replicas failed at the same call ({why}); answers so far are kept")

    def _begin(self) -> None:
        """Look for the replicas that are not there, in the event loop that asks."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._watching = {loop.create_task(self._watch(replica)) for replica in self._replicas if not replica.there}

    async def _least_busy(self) -> Replica:
        until = time.monotonic() + PATIENCE
        while not (there := [replica for replica in self._replicas if replica.there]):
            if time.monotonic() > until:
                raise RunFailed("--engine ray: no replica is left; answers so far are kept, the same command continues")
            await asyncio.sleep(PAUSE)
        return min(there, key=lambda replica: replica.flying)

    def _lose(self, replica: Replica, why: str, broken: bool) -> None:
        """Its calls each find that out; the first one says so. broken: the actor is there, and its engine is not."""
        if not replica.there:
            return
        replica.there = False
        warn(f"a replica was lost ({why}); its calls go to the others until Ray has started it again")
        if broken:
            self._ray.kill(replica.actor, no_restart=False)
        self._watching.add(asyncio.get_running_loop().create_task(self._watch(replica)))

    async def _watch(self, replica: Replica) -> None:
        """Until the replica says that it is there, with the same model."""
        while not replica.there:
            try:
                about: About = await replica.actor.about.remote()
            except self._ray.exceptions.RayError:
                await asyncio.sleep(PAUSE)
                continue
            if about.identity != self.identity:
                warn(f"a replica holds another model, {about.identity}; it is not asked")
                return
            replica.there = True

    def _end(self) -> None:
        for replica in self._replicas:
            self._ray.kill(replica.actor)


def _why(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return one_line(lines[-1])
