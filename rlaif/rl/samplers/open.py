"""From the user's words to a sampler: ``--sampler``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlaif.registry import Registry

if TYPE_CHECKING:
    from rlaif.models.load import Base
    from rlaif.rl.config import RlConfig
    from rlaif.rl.networks import Policy
    from rlaif.rl.rollout import Query, Sampler

SAMPLERS = Registry(
    "sampler",
    "--sampler",
    "rlaif.samplers",
    {
        "transformers": "rlaif.rl.samplers.transformers:open_transformers",
        "vllm": "rlaif.rl.samplers.vllm:open_vllm",
        "server": "rlaif.rl.samplers.server:open_server",
    },
)
"""Name to a function (or class) that makes a sampler of ``(config, base, policy)``."""


def open_sampler(config: RlConfig, base: Base, policy: Policy) -> Sampler:
    """The sampler that ``config`` names, of the policy that training changes.

    base: where the policy came from, with its tokenizer. Raises UsageError for a name that is not known.
    """
    name = "server" if config.sampler.startswith(("http://", "https://")) else config.sampler
    sampler: Sampler = SAMPLERS[name](config, base, policy)
    return sampler


def room(config: RlConfig, base: Base, queries: Sequence[Query]) -> int:
    """Tokens that a sequence of the sampler's may need, and no more: an engine sets its cache apart by them."""
    from rlaif.rl.samplers.weights import LENGTH

    longest = max(LENGTH, *(query.length for query in queries))
    return min(base.context, longest + config.max_tokens)
