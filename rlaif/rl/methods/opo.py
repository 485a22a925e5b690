"""On-policy RL with the optimal baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.rl.methods.group import GroupMethod

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Opo(GroupMethod):
    """Hao et al. 2025, arXiv 2505.23585: the baseline weighs the prompt's samples by their lengths."""

    method: ClassVar[str] = "opo"
    title: ClassVar[str] = "on-policy RL with the optimal baseline"
    about: ClassVar[str] = "each against the length-weighted mean of its prompt's samples"

    def advantages(self, totals: Tensor, groups: Tensor, lengths: Tensor) -> Tensor:
        from rlaif.rl.maths.advantages import everything, length_weighted

        return length_weighted(totals, lengths, groups, everything(totals))
