"""Simple preference optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.settings import setting
from rlaif.train.methods.base import PANEL, PairLoss

if TYPE_CHECKING:
    from torch import Tensor

    from rlaif.train.objectives import Pairs


@dataclass(frozen=True)
class Simpo(PairLoss):
    """gamma: the margin between responses; γ/β between .3 and .8 is the authors' advice."""

    name: ClassVar[str] = "simpo"
    title: ClassVar[str] = "simple preference optimisation"
    rate: ClassVar[float] = 1e-6

    beta: float = setting(2.0, "Strength of the loss.", panel=PANEL, above=0)
    gamma: float = setting(1.0, "Margin.", panel=PANEL, least=0)

    def losses(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        from rlaif.train.losses import simpo

        chosen, rejected = pairs.averages
        return simpo(chosen, rejected, pairs.p, self.beta, self.gamma), chosen - rejected
