"""Coroutines from code that is not asynchronous, also where an event loop is running already, as in a notebook."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run``, in a thread of its own where this one has a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    loop = BackgroundLoop()
    try:
        return loop.run(work)
    finally:
        loop.close()


class BackgroundLoop:
    """An event loop in a thread of its own: work is given to it from any thread and any other loop, several at a time."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="rlaif", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``. An interrupt (Ctrl-C) cancels it and waits until it has ended."""
        future = self._submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            self._submit(_rest()).result()
            raise

    async def arun(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, awaited in the caller's loop; it is cancelled where the caller is."""
        return await asyncio.wrap_future(self._submit(work))

    def close(self) -> None:
        """End the loop and its thread; work that is under way is cancelled."""
        if self._loop.is_closed():
            return
        with suppress(RuntimeError):  # it was closed by another thread in between
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            unfinished = asyncio.all_tasks(self._loop)
            for task in unfinished:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*unfinished, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()


async def _rest() -> None:
    """Wait until all that was cancelled has ended."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    cancelled = [task for task in others if task.cancelling()]
    await asyncio.gather(*cancelled, return_exceptions=True)
