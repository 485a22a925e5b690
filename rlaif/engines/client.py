"""Requests to servers that may be slow, busy, wrong or gone: each is tried until it is answered, or shown to have no answer."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rlaif.engines.problem import FINAL, NoReplyError, Problem, read_reply
from rlaif.engines.replicas import Replica, Replicas
from rlaif.engines.replies import BadReply
from rlaif.engines.spending import Meter
from rlaif.engines.wire import HttpWire, Wire
from rlaif.errors import RunFailed, UsageError, one_line, remember_secrets, warn

T = TypeVar("T")
LONGEST = 300
"""Characters of a server's words, in a message or a failure."""


@dataclass(frozen=True)
class Patience:
    """pauses: seconds before each further try of a request, unless the server names its own; each is drawn from half of it to
    all of it. brief: the longest one where the server is not busy. stated: the longest wait that a server may ask for.
    deadline: seconds for a whole request. least: what that comes down to as replies are seen to take little time. silence:
    seconds without any reply, after which the user is told."""

    pauses: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
    brief: float = 1.0
    stated: float = 60.0
    deadline: float = 600.0
    least: float = 60.0
    silence: float = 30.0


PATIENCE = Patience()
FEW = 2
"""Tries of a request while no server has answered anything since another one had all of its tries."""
OF_A_BATCH = 3
"""Tries of a request for several prompts at once that one of them may be to blame for."""
SLOWEST = 8
"""A request is given so many times what the slowest of the last requests of its kind took."""


@dataclass(frozen=True)
class Address:
    """Where a server is and what it is shown: the key in the headers, as in RLAIF_API_KEY or OPENAI_API_KEY."""

    urls: tuple[str, ...]
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, urls: Sequence[str]) -> Address:
        key = (os.environ.get("RLAIF_API_KEY") or os.environ.get("OPENAI_API_KEY") or "").strip()
        if not (key.isascii() and key.isprintable()):
            raise UsageError("RLAIF_API_KEY or OPENAI_API_KEY holds characters that cannot be sent as a key")
        for url in urls:
            remember_secrets(url)
        return cls(tuple(urls), {"Authorization": f"Bearer {key}"} if key else {})


class Client:
    """Sends requests to all of ``servers``, which serve ``model``. at_first: requests at once and per server, to begin with.

    wire: how, given the headers; by HTTP unless something else speaks to the provider. look: see ``Replicas``; it is given the
    wire to ask by. renew: gives a server what it must hold before it is asked, such as weights, and returns what kept it from
    doing so; set where servers hold something, and called whenever one was away.
    """

    def __init__(
        self,
        address: Address,
        servers: list[Replica],
        model: str,
        at_first: int,
        look: Callable[[Wire, Replica], Awaitable[bool]],
        wire: Callable[[Mapping[str, str]], Wire] = HttpWire,
    ) -> None:
        self.address, self.servers, self._model, self._at_first, self._look = address, servers, model, at_first, look
        self._wire = wire
        self.meter = Meter()
        self.renew: Callable[[Replica], Problem | None] | None = None
        self._patience = PATIENCE
        self._random = random.Random()
        self._connection: tuple[asyncio.AbstractEventLoop, Wire, Replicas] | None = None
        self._good: dict[str, int] = {}
        self._barren = False
        self._times: dict[str, deque[float]] = {}
        self._heard = time.monotonic()
        self._silence_told = False

    async def post(
        self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], T], *, kind: str, batch: bool = False
    ) -> T | Problem:
        """What ``read`` makes of a reply to ``body``. kind: requests of one kind take about as long. batch: of several prompts,
        which are asked alone where that does not help.

        A Problem concerns this request alone. Raises RunFailed with what concerns all: no server answers at all, or none
        lets us in, or none has ever given what is needed.
        """
        wire, replicas = self._connected()
        content = json.dumps({"model": self._model, **body}).encode()
        before, seen = sum(self._good.values()), set[str]()
        every = len(self._patience.pauses) + 1
        number = 0
        while True:
            async with replicas.one() as replica:
                started = time.monotonic()
                untold = await self._renewed(replica, replicas)
                result: T | Problem
                result = untold if untold else await self._try(wire, f"{replica.url}/{path}", content, read, kind)
                if not isinstance(result, Problem):
                    self._heard = time.monotonic()
                    replicas.answered(replica, self._heard - started, started)
                    self._times.setdefault(kind, deque(maxlen=50)).append(self._heard - started)
                    self._good[kind], self._barren = self._good.get(kind, 0) + 1, False
                    return result
                problem = Problem(result.kind, one_line(f"{replica.name}: {result.words}", LONGEST), result.wait, result.remedy)
                seen.add(problem.kind)
                if problem.kind in FINAL:
                    self._good["refused"], self._barren = self._good.get("refused", 0) + 1, False
                    return problem
                stated = None if problem.wait is None else min(problem.wait, self._patience.stated)
                busy = problem.kind in ("busy", "broken")
                away = problem.kind == "unreachable"
                replicas.failed(replica, one_line(result.words), away=away, busy=busy, started=started, wait=stated)
            number += 1
            most = OF_A_BATCH if batch and problem.kind in ("bad", "broken") else every
            if number >= min(most, FEW if self._barren else most):
                break
            pause = self._patience.pauses[number - 1]
            pause = stated or (min(pause, self._patience.brief) if problem.kind in ("bad", "denied") else pause)
            await asyncio.sleep(pause * (1 + self._random.random() / 10 if stated else self._random.uniform(0.5, 1)))
        if sum(self._good.values()) == before:
            self._barren = True
            if seen <= {"unreachable", "denied"}:
                kept = "answers so far are kept, the same command continues"
                raise RunFailed(f"no server answers any more ({problem.words}); {kept}")
        if problem.remedy and not batch and not self.ever(kind):
            raise RunFailed(f"{problem.words}; {problem.remedy}")
        return problem

    def ever(self, kind: str) -> bool:
        """Whether a request of the kind has been answered."""
        return bool(self._good.get(kind))

    async def close(self) -> None:
        if self._connection:
            _, wire, replicas = self._connection
            self._connection = None
            await replicas.close()
            await wire.close()

    async def _renewed(self, replica: Replica, replicas: Replicas) -> Problem | None:
        """Give a server that was away its state again. What kept it from taking it; None where it has it."""
        if self.renew is None:
            return None
        async with replicas.renewing[replica]:
            problem = await asyncio.to_thread(self.renew, replica) if replica.stale else None
            replica.stale = problem is not None
        return problem

    async def _try(self, wire: Wire, url: str, content: bytes, read: Callable[[dict[str, Any]], T], kind: str) -> T | Problem:
        """One request, within its deadline."""
        sending = asyncio.ensure_future(wire.send(url, content))
        started = time.monotonic()
        try:
            while not sending.done():
                deadline, waited = self._deadline(kind), time.monotonic() - started
                if waited >= deadline:
                    return Problem("busy", f"no whole reply within {deadline:.3g} s")
                self._tell_silence(deadline)
                await asyncio.wait({sending}, timeout=min(deadline - waited, self._patience.silence / 4))
            status, headers, body = sending.result()
        except NoReplyError as error:
            return Problem("unreachable", str(error))
        except BadReply as error:
            return Problem("bad", str(error))
        finally:
            if not sending.done():
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

        def counted(content: dict[str, Any]) -> T:
            self.meter.count(content)
            return read(content)

        return read_reply(status, headers, body, counted)

    def _deadline(self, kind: str) -> float:
        times = self._times.get(kind, ())
        if len(times) < SLOWEST:
            return self._patience.deadline
        return min(self._patience.deadline, max(self._patience.least, SLOWEST * max(times)))

    def _tell_silence(self, deadline: float) -> None:
        quiet = time.monotonic() - self._heard
        if quiet > self._patience.silence and not self._silence_told:
            self._silence_told = True
            warn(f"{self.servers[0].name}: no reply for {quiet:.0f} s; a request is asked again after {deadline:.0f} s")

    def _connected(self) -> tuple[Wire, Replicas]:
        """What belongs to the running event loop: it cannot move to another."""
        loop = asyncio.get_running_loop()
        if self._connection is None or self._connection[0] is not loop:
            wire = self._wire(self.address.headers)
            self._heard = time.monotonic()
            self._connection = (loop, wire, Replicas(self.servers, self._at_first, lambda server: self._look(wire, server)))
        return self._connection[1], self._connection[2]
