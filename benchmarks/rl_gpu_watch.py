"""Seconds and memory of a run's phases, from around the functions that do them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from statistics import median
from typing import Any
from unittest import mock

import torch

from benchmarks.memory_peak import peak_of
from rlaif.rl import loop
from rlaif.rl.samplers.transformers import TransformersSampler
from rlaif.rl.update import Learner


class Watch:
    """While it is entered. Memory is what PyTorch's allocator has handed out; vLLM's own is not in it."""

    def __init__(self) -> None:
        self._seconds: dict[str, list[float]] = defaultdict(list)
        self._bytes: dict[str, list[int]] = defaultdict(list)
        self._before: list[int] = []
        self._exits = ExitStack()

    def __enter__(self) -> Watch:
        for target, name, phase in _watched():
            whole = getattr(target, name)
            self._exits.enter_context(mock.patch.object(target, name, self._around(phase, whole)))
        return self

    def __exit__(self, *error: object) -> None:
        self._exits.close()

    def found(self) -> dict[str, Any]:
        """seconds: medians of the calls, without the first two of each. bytes: the most on top of what was held before.
        always: bytes that were held before the last step's looks; 0 on a CPU, where nobody counts them."""
        return {
            "seconds": {phase: median(calls[2:] or calls) for phase, calls in self._seconds.items()},
            "bytes": {phase: max(calls) for phase, calls in self._bytes.items()},
            "always": self._before[-1] if self._before else 0,
        }

    def _around(self, phase: str, whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            result: list[Any] = []
            begun = time.monotonic()
            peak = _peak(lambda: result.append(whole(*given, **named)))
            self._seconds[phase].append(time.monotonic() - begun)
            self._bytes[phase].append(peak)
            if phase == "looking" and torch.cuda.is_available():
                self._before.append(torch.cuda.memory_allocated())
            return result[0]

        return call


def _peak(work: Callable[[], object]) -> int:
    if not torch.cuda.is_available():
        return peak_of(work)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def _watched() -> Iterator[tuple[Any, str, str]]:
    """(whose, its function, phase)."""
    yield loop, "look", "looking"
    yield Learner, "_policy_pass", "policy"
    yield Learner, "_value_pass", "value net"
    yield TransformersSampler, "_sample", "sampling"
    if find_spec("vllm") is None:
        return
    from rlaif.engines.vllm import VllmEngine
    from rlaif.rl.samplers.vllm import VllmSampler

    yield VllmSampler, "_load", "sync"
    for whose, who in ((VllmSampler, "sampler"), (VllmEngine, "critic")):
        yield whose, "sleep", f"{who} sleeps"
        yield whose, "wake", f"{who} wakes"
