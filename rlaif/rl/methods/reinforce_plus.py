"""REINFORCE++ with a group baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.rl.config import Scored
from rlaif.rl.methods.group import GroupMethod

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ReinforcePlus(GroupMethod):
    """Hu et al. 2025, arXiv 2501.03262 (REINFORCE++-baseline): each against its prompt's mean, then whitened over tokens."""

    method: ClassVar[str] = "reinforce++"
    title: ClassVar[str] = "REINFORCE++ with a group baseline"
    about: ClassVar[str] = "each against its prompt's mean, whitened over the batch"

    def advantages(self, totals: Tensor, groups: Tensor, lengths: Tensor) -> Tensor:
        from rlaif.rl.maths.advantages import everything, group_normalised

        return group_normalised(totals, groups, everything(totals), std=False)

    def estimate(self, scored: Scored) -> tuple[Tensor, Tensor]:
        from rlaif.rl.maths.advantages import whiten

        advantages, returns = super().estimate(scored)
        return whiten(advantages, scored.mask), returns
