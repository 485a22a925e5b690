"""The on-policy methods, a file each. Importing them imports nothing heavy, so that the command line can read them."""

from __future__ import annotations

from rlaif.errors import UsageError
from rlaif.registry import Registry
from rlaif.rl.config import RlConfig

METHODS = Registry(
    "training method",
    "rlaif train",
    "rlaif.estimators",
    {
        "ppo": "rlaif.rl.methods.ppo:Ppo",
        "rloo": "rlaif.rl.methods.rloo:Rloo",
        "grpo": "rlaif.rl.methods.grpo:Grpo",
        "reinforce": "rlaif.rl.methods.reinforce:Reinforce",
        "reinforce++": "rlaif.rl.methods.reinforce_plus:ReinforcePlus",
        "opo": "rlaif.rl.methods.opo:Opo",
        "gdpo": "rlaif.rl.methods.gdpo:Gdpo",
        "remax": "rlaif.rl.methods.remax:ReMax",
        "distill": "rlaif.rl.methods.distill:Distill",
        "maxrl": "rlaif.rl.methods.maxrl:MaxRl",
    },
)
"""Name to a subclass of ``RlConfig`` that estimates advantages."""


def find_method(name: str) -> type[RlConfig]:
    """A method's configuration. Raises UsageError for a name that is not known, and for one of something else."""
    kind = METHODS[name]
    if not (isinstance(kind, type) and issubclass(kind, RlConfig)):
        raise UsageError(f"rlaif train {name}: not an on-policy method: it must be a subclass of rlaif.rl.config.RlConfig")
    return kind
