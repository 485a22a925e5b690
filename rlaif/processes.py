"""Several processes (``accelerate launch``, ``torchrun``) as one run: one writes, all agree, and one says what went wrong."""

from __future__ import annotations

import atexit
from collections.abc import Callable
from functools import cache
from typing import TypeVar

import torch
import torch.distributed as dist
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object

from rlaif.errors import RunFailed, UsageError

T = TypeVar("T")


def processes() -> PartialState:
    """This process among the run's, in touch with the others; alone where nothing launched several."""
    state = PartialState(cpu=not torch.cuda.is_available())
    if state.num_processes > 1:
        _leave_at_exit()
    return state


@cache
def _leave_at_exit() -> None:
    # Threads that the group still has when the interpreter is gone abort a process whose work is done, now and then.
    atexit.register(lambda: dist.destroy_process_group() if dist.is_initialized() else None)


def together(work: Callable[[], T]) -> T:
    """``work()``, done by every process.

    Where it raises UsageError or RunFailed in any of them, the main process raises the first such error and the others leave
    without a word.
    """
    if processes().num_processes == 1:
        return work()
    results: list[T] = []
    error: Exception | None = None
    try:
        results.append(work())
    except (UsageError, RunFailed) as raised:
        error = raised
    first = next((other for other in gather_object([error]) if other), None)
    if first is None:
        return results[0]
    if processes().is_main_process:
        raise first
    raise SystemExit(0)  # another code would have the launcher end the main process before it has spoken


def on_main(work: Callable[[], T]) -> T:
    """What ``work()`` gives in the main process, in every process; its errors as in ``together``."""
    state = processes()
    results = together(lambda: work() if state.is_main_process else None)
    if state.num_processes == 1:
        return results  # type: ignore[return-value]
    return broadcast_object_list([results])[0]  # type: ignore[no-any-return]
