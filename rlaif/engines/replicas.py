"""Several servers of one model as one: which of them is asked next, and how many requests each has at once.

A server that keeps failing rests while another one answers, and takes part again when it is seen to serve the model. How much
each is given at once follows what it bears: a little more with each good reply, less when it says that it is busy.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from rlaif.errors import warn

FAILURES = 5
"""In a row, after which a server rests."""
RESTS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds between looks at a server that rests; the last for ever."""
MOST, LESS, MORE = 4, 0.75, 0.5
"""At most so many times what a server is given at first; the factor when it is busy; requests more with each good reply. The
two together keep their height at a random 30% of failures and sink where more at once means more of them."""
SLOWER = 2.0
"""How many times its best time a server may take before it is given no more at once than at first."""


@dataclass(eq=False)
class Replica:
    """One server. url: of its API. limit: requests at once, as they are now allowed. known: it serves the model.

    stale: it was away, and may have come back without what it had been given.
    """

    url: str
    limit: float
    known: bool = True
    stale: bool = False
    flying: int = 0
    failures: int = 0
    wake: float = 0.0
    lowered: float = 0.0
    pace: float = 0.0
    best: float = float("inf")
    told: bool = False

    @property
    def name(self) -> str:
        """The URL as it may be shown: without user and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def tell(self, what: str) -> None:
        """Say once what is the matter with the server."""
        if not self.told:
            self.told = True
            warn(f"{self.name} {what}; the other servers go on without it")


class Replicas:
    """Belongs to one event loop at a time. at_first: requests that each server is given at once in the beginning.

    look: whether a server is there and serves the model. It raises nothing. renewing: held by who gives a server its state.
    """

    def __init__(self, servers: list[Replica], at_first: int, look: Callable[[Replica], Awaitable[bool]]) -> None:
        self.all = servers
        self._at_first = at_first
        self._look = look
        self._changed = asyncio.Condition()
        self._looking: dict[Replica, asyncio.Task[None]] = {}
        self.renewing = {server: asyncio.Lock() for server in servers}
        for server in servers:
            server.flying = 0
            if not server.known:
                self._rest(server)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[Replica]:
        """The server with the most room, when there is one; its place is given back at the end."""
        replica = await self._take()
        try:
            yield replica
        finally:
            replica.flying -= 1
            async with self._changed:
                self._changed.notify(2)

    async def _take(self) -> Replica:
        async with self._changed:
            while True:
                now = time.monotonic()
                free = [server for server in self.all if server.known and server.flying < max(1, int(server.limit))]
                ready = [server for server in free if server.wake <= now]
                if ready:
                    replica = min(ready, key=lambda server: server.flying / server.limit)
                    replica.flying += 1
                    self.all.append(self.all.pop(self.all.index(replica)))  # of two with as much room, the other is next
                    return replica
                try:
                    async with asyncio.timeout(min((server.wake - now for server in free), default=None)):
                        await self._changed.wait()
                except TimeoutError:
                    pass

    def answered(self, replica: Replica, seconds: float, started: float) -> None:
        """A good reply, after so many seconds."""
        replica.failures = 0
        replica.pace = seconds if replica.pace == 0.0 else 0.8 * replica.pace + 0.2 * seconds
        replica.best = min(replica.best, replica.pace)
        if replica.limit < self._at_first:
            replica.limit += MORE
        elif replica.pace <= SLOWER * replica.best:
            replica.limit = min(MOST * self._at_first, replica.limit + 1 / replica.limit)

    def failed(self, replica: Replica, what: str, *, away: bool, busy: bool, started: float, wait: float | None) -> None:
        """No good reply. away: or none at all. busy: by having too much to do. wait: seconds for which the server wants to be
        left alone."""
        now = time.monotonic()
        replica.failures += 1
        replica.stale |= away
        if busy and started >= replica.lowered:  # requests that were under way together lower it once
            replica.limit, replica.lowered = max(1.0, replica.limit * LESS), now
        if wait is not None:
            replica.wake = max(replica.wake, now + wait)
        others = any(other.known for other in self.all if other is not replica)
        if replica.failures >= FAILURES and replica.known and others:
            replica.tell(f"does not answer ({what})")
            self._rest(replica)

    def _rest(self, replica: Replica) -> None:
        replica.known = False
        self._looking[replica] = asyncio.create_task(self._watch(replica))

    async def _watch(self, replica: Replica) -> None:
        """Look at a resting server until it serves the model again."""
        looks = 0
        while not replica.known:
            await asyncio.sleep(RESTS[min(looks, len(RESTS) - 1)])
            looks += 1
            replica.known = await self._look(replica)
        replica.failures, replica.limit, replica.stale = 0, float(self._at_first), True
        async with self._changed:
            self._changed.notify_all()

    async def close(self) -> None:
        for task in self._looking.values():
            task.cancel()
        await asyncio.gather(*self._looking.values(), return_exceptions=True)
