"""What holds engines and a store open between calls: opened at the first one, usable from any thread, picklable, closable."""

from __future__ import annotations

import asyncio
import os
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Generic, NamedTuple, Self, TypeVar

from rlaif.loops import BackgroundLoop

Held = TypeVar("Held")
T = TypeVar("T")


class _Open(NamedTuple, Generic[Held]):
    """process: where it was opened. A fork of that has no thread to ask, and opens its own."""

    process: int
    loop: BackgroundLoop
    held: Held


class Handle(ABC, Generic[Held]):
    """A context manager; ``close`` gives back what is held, and a later call opens it again. Only settings are pickled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: _Open[Held] | None = None

    @abstractmethod
    def _open(self) -> Held:
        """Open what calls need. It is used in the background loop alone."""

    @abstractmethod
    async def _give_back(self, held: Held) -> None:
        """Close it."""

    def close(self) -> None:
        """Give back engines and store; work that is under way is cancelled."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None and opened.process == os.getpid():
            opened.loop.run(self._give_back(opened.held))
            opened.loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_lock", "_opened")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _opened=None)

    def _run(self, work: Callable[[Held], Coroutine[Any, Any, T]]) -> T:
        opened = self._here()
        return opened.loop.run(work(opened.held))

    async def _arun(self, work: Callable[[Held], Coroutine[Any, Any, T]]) -> T:
        opened = await asyncio.to_thread(self._here)
        return await opened.loop.arun(work(opened.held))

    def _here(self) -> _Open[Held]:
        with self._lock:
            if self._opened is None or self._opened.process != os.getpid():
                self._opened = _Open(os.getpid(), BackgroundLoop(), self._open())
            return self._opened
