"""What an engine that is paid for has read and written, as its server reports it, what that costs, and where it stops."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from rlaif.errors import RunFailed, UsageError

_piece: ContextVar[list[float] | None] = ContextVar("piece", default=None)
"""Dollars of what is being asked just now, one entry a reply; None outside of any."""


class Price(NamedTuple):
    """Dollars for a million tokens. Discounts, such as of a provider's prompt cache, are left out: what is counted is at most
    too much."""

    read: float
    written: float

    def of(self, read: float, written: float) -> float:
        """Dollars for so many tokens."""
        return (self.read * read + self.written * written) / 1e6


def price(text: str) -> Price:
    """What ``--price`` says. Raises UsageError unless that is two numbers."""
    try:
        found = Price(*map(float, text.split(",")))
    except (TypeError, ValueError):
        found = Price(math.nan, math.nan)
    if not all(0 <= value < math.inf for value in found):
        raise UsageError(f"--price {text}: expected IN,OUT, dollars for a million tokens read and written, such as 2.5,10")
    return found


@dataclass
class Meter:
    """Counts an engine's replies. price: None where it is not known. unreported: replies that did not say what they used.

    once: of several texts drawn from one prompt, the prompt is paid for once."""

    price: Price | None = None
    once: bool = True
    budget: Budget | None = None
    requests: int = 0
    read: int = 0
    written: int = 0
    unreported: int = 0

    def count(self, content: Mapping[str, Any]) -> None:
        """Take in a reply in the form of OpenAI's API, whether or not anything can be read from it: it is paid for."""
        usage = content.get("usage")
        counted = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
        read, written = (value if type(value) is int and value >= 0 else 0 for value in counted)
        self.requests += 1
        self.unreported += type(counted[0]) is not int
        self.read += read
        self.written += written
        if (entries := _piece.get()) is not None and self.price:
            entries.append(self.price.of(read, written))

    @property
    def dollars(self) -> float | None:
        """None where the price is not known."""
        return self.price.of(self.read, self.written) if self.price else None


@dataclass
class Budget:
    """What all engines of a run may cost together. limit: dollars, None for any. before: dollars of the run's earlier starts.

    Once the next piece may not fit any more, none is begun; those under way are answered and kept; then RunFailed says so. The
    next piece is taken to cost what the dearest one has cost, and the first one is asked alone.
    """

    meters: Sequence[Meter]
    limit: float | None = None
    before: float = 0.0
    _flying: int = 0
    _dearest: float | None = None
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    @property
    def spent(self) -> float:
        """Dollars, those of earlier starts included."""
        return self.before + sum(meter.dollars or 0.0 for meter in self.meters)

    @asynccontextmanager
    async def piece(self) -> AsyncIterator[None]:
        """Around asking something and keeping the answer. Raises RunFailed where there is no money for it."""
        if self.limit is None or _piece.get() is not None:  # a part of what has been let in
            yield
            return
        while not self._fits(self.limit):
            if not self._flying:
                raise RunFailed(self._reached(self.limit))
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            await waiting
        self._flying += 1
        entries: list[float] = []
        token = _piece.set(entries)
        try:
            yield
        finally:
            if entries:
                self._dearest = max(self._dearest or 0.0, sum(entries))
            _piece.reset(token)
            self._flying -= 1
            waiting_now, self._waiting = self._waiting, []
            for future in waiting_now:
                if not future.done():
                    future.set_result(None)

    def _fits(self, limit: float) -> bool:
        if any(meter.unreported for meter in self.meters):
            raise RunFailed("--max-cost: the server's replies do not say what they used (no usage), so nothing can be counted")
        if self._dearest is None:
            return self._flying == 0 and self.spent < limit
        return self.spent + (self._flying + 1) * self._dearest <= limit

    def _reached(self, limit: float) -> str:
        return (
            f"--max-cost {limit:g}: ${self.spent:.4f} are spent, and the next answer may cost more than is left; what was "
            "answered is kept, and the same command with a larger --max-cost continues"
        )

    def facts(self) -> dict[str, Any]:
        """For ``run.json``. dollars: None where no price is known."""
        known = all(meter.price for meter in self.meters)
        return {
            "dollars": round(self.spent, 6) if known else None,
            "requests": sum(meter.requests for meter in self.meters),
            "tokens_read": sum(meter.read for meter in self.meters),
            "tokens_written": sum(meter.written for meter in self.meters),
            "unreported": sum(meter.unreported for meter in self.meters),
        }


def metered(engines: Iterable[object]) -> list[Meter]:
    """The meters of those engines that have one."""
    found = (getattr(engine, "meter", None) for engine in engines)
    return [meter for meter in found if isinstance(meter, Meter)]


def share(engines: Iterable[object], stated: str | None, limit: float | None) -> None:
    """Give the engines one budget. stated: what ``--price`` says, in place of what is known. limit: ``--max-cost``.

    Raises UsageError where there is nothing to count, or no price for it.
    """
    meters = metered(engines)
    if not meters and (stated or limit is not None):
        name = "--price" if stated else "--max-cost"
        raise UsageError(f"{name} needs a critic that is asked over HTTP: nothing is paid for the others")
    for meter in meters:
        meter.price = price(stated) if stated else meter.price
    if limit is not None and not all(meter.price for meter in meters):
        raise UsageError("--max-cost needs --price IN,OUT: the critic's price is not known here")
    budget = Budget(meters, limit)
    for meter in meters:
        meter.budget = budget


def budget_of(engines: Iterable[object]) -> Budget | None:
    """What was shared; None where nothing is paid for."""
    return next((meter.budget for meter in metered(engines) if meter.budget), None)
