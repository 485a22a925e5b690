"""Group reward-decoupled policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.rl.methods.group import GroupMethod

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Gdpo(GroupMethod):
    """arXiv 2601.05242: each reward in standard deviations within the prompt's samples (a mix with ``normalise: group``), and
    their weighted sum whitened over the batch's responses, so that its scale does not grow with the number of rewards."""

    method: ClassVar[str] = "gdpo"
    title: ClassVar[str] = "group reward-decoupled policy optimisation"
    about: ClassVar[str] = "for mixes with `normalise: group`; their sum whitened over the batch"

    def advantages(self, totals: Tensor, groups: Tensor, lengths: Tensor) -> Tensor:
        from rlaif.rl.maths.advantages import everything, group_normalised, whiten

        every = everything(totals)
        return whiten(group_normalised(totals, groups, every, std=False), every)
