"""The offline methods, a file each. Importing them imports nothing heavy, so that the command line can read them."""

from __future__ import annotations

from rlaif.errors import UsageError
from rlaif.registry import Registry
from rlaif.train.methods.base import Loss

LOSSES = Registry(
    "training method",
    "rlaif train",
    "rlaif.losses",
    {
        "sft": "rlaif.train.methods.sft:Sft",
        "reward": "rlaif.train.methods.reward:Reward",
        "dpo": "rlaif.train.methods.dpo:Dpo",
        "ipo": "rlaif.train.methods.ipo:Ipo",
        "kto": "rlaif.train.methods.kto:Kto",
        "orpo": "rlaif.train.methods.orpo:Orpo",
        "cpo": "rlaif.train.methods.cpo:Cpo",
        "critic": "rlaif.train.methods.critic:Critic",
        "simpo": "rlaif.train.methods.simpo:Simpo",
    },
)
"""Name to a subclass of ``Loss``."""


def find_loss(method: str) -> type[Loss]:
    """The loss of a method. Raises UsageError for a name that is not known, and for one of something else."""
    loss = LOSSES[method]
    if not (isinstance(loss, type) and issubclass(loss, Loss)):
        raise UsageError(f"rlaif train {method}: not an offline method: it must be a subclass of rlaif.train.methods.base.Loss")
    return loss
