"""Maximum-likelihood reinforcement learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.rl.methods.group import GroupMethod

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MaxRl(GroupMethod):
    """arXiv 2602.02710: for rewards of at least 0, such as right or wrong; prompts that are rarely solved count most."""

    method: ClassVar[str] = "maxrl"
    title: ClassVar[str] = "maximum-likelihood reinforcement learning"
    about: ClassVar[str] = "over the mean reward of the prompt's samples"

    def advantages(self, totals: Tensor, groups: Tensor, lengths: Tensor) -> Tensor:
        from rlaif.rl.maths.advantages import everything, over_mean

        return over_mean(totals, groups, everything(totals))
