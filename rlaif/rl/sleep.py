"""vLLM engines in this process give the GPU's memory back while the networks work: vLLM's sleep mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

import torch

from rlaif.errors import UsageError
from rlaif.processes import processes
from rlaif.rl.config import RlConfig
from rlaif.rl.rollout import Sleeper


def sleeps(config: RlConfig) -> bool:
    """Whether the run's vLLM engines in this process sleep during updates (``--sleep``). Raises UsageError where they are told
    to and vLLM says that it cannot here."""
    if config.sleep == "off" or config.ahead:
        return False
    able = processes().device.type != "cpu" and find_spec("vllm") is not None and _available()
    if config.sleep == "on" and not able:
        raise UsageError(f"--sleep on: vLLM frees no memory on this device ({processes().device.type}); it does on a GPU")
    return able


@contextmanager
def asleep(engines: Sequence[Sleeper]) -> Iterator[None]:
    """The engines sleep meanwhile. Where what runs meanwhile fails, they stay asleep: the run is over."""
    for engine in engines:
        engine.sleep()
    yield
    if engines and torch.cuda.is_available():
        torch.cuda.empty_cache()  # an engine takes its memory from the device, not from PyTorch's cache
    for engine in engines:
        engine.wake()


def _available() -> bool:
    from vllm.platforms import current_platform

    return bool(current_platform.is_sleep_mode_available())
