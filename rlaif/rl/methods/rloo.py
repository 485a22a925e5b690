"""REINFORCE leave-one-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.rl.config import RlConfig
from rlaif.rl.methods.group import GroupMethod
from rlaif.settings import redefault

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Rloo(GroupMethod):
    """Ahmadian et al. 2024, arXiv 2402.14740: the baseline is the mean reward of the prompt's other samples."""

    method: ClassVar[str] = "rloo"
    title: ClassVar[str] = "REINFORCE leave-one-out"
    about: ClassVar[str] = "each against the prompt's other samples"

    beta: float = redefault(RlConfig, "beta", 0.03)

    def advantages(self, totals: Tensor, groups: Tensor, lengths: Tensor) -> Tensor:
        from rlaif.rl.maths.advantages import everything, leave_one_out

        return leave_one_out(totals, groups, everything(totals))
