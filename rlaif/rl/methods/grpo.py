"""Group relative policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from rlaif.rl.config import SHAPING, Estimator, KlPlace, RlConfig
from rlaif.rl.methods.group import GroupMethod
from rlaif.settings import redefault, setting

if TYPE_CHECKING:
    from torch import Tensor


Spread = Literal["group", "batch"]


@dataclass(frozen=True, kw_only=True)
class Grpo(GroupMethod):
    """Shao et al. 2024, arXiv 2402.03300.

    std: divide by the standard deviation; not so in Dr. GRPO (Liu et al. 2025, arXiv 2503.20783). std_of: the group's own, or
    the batch's, as in Lite PPO (Liu et al. 2025, arXiv 2508.08221).
    """

    method: ClassVar[str] = "grpo"
    title: ClassVar[str] = "group relative policy optimisation"
    about: ClassVar[str] = "normalised within each prompt's samples"

    samples: int = redefault(RlConfig, "samples", 8)
    batch_size: int = redefault(RlConfig, "batch_size", 16)
    beta: float = redefault(RlConfig, "beta", 0.04)
    kl_in: KlPlace = redefault(RlConfig, "kl_in", "loss")
    kl: Estimator = redefault(RlConfig, "kl", "k3")
    std: bool = setting(True, "Divide by the standard deviation; not so in Dr. GRPO.", panel=SHAPING)
    std_of: Spread = setting("group", "…of the prompt's samples, or of the whole batch as in Lite PPO.", panel=SHAPING)

    def advantages(self, totals: Tensor, groups: Tensor, lengths: Tensor) -> Tensor:
        from rlaif.rl.maths.advantages import batch_normalised, everything, group_normalised

        if self.std and self.std_of == "batch":
            return batch_normalised(totals, groups, everything(totals))
        return group_normalised(totals, groups, everything(totals), self.std)
