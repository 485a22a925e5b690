"""An offline method: a hinge on DPO's margin, as in SLiC (Zhao et al. 2023, arXiv 2305.10425)."""

from dataclasses import dataclass
from typing import ClassVar

from rlaif.settings import setting
from rlaif.train.methods.base import PairLoss


@dataclass(frozen=True)
class Hinge(PairLoss):
    title: ClassVar[str] = "hinge preference optimisation"
    rate: ClassVar[float] = 1e-6
    reference: ClassVar[bool] = True

    beta: float = setting(0.1, "Strength of the loss.", above=0)
    delta: float = setting(1.0, "The margin that is wanted.", above=0)

    def losses(self, pairs):
        better = (self.delta - self.beta * pairs.margin).clamp(min=0)
        worse = (self.delta + self.beta * pairs.margin).clamp(min=0)
        return pairs.p * better + (1 - pairs.p) * worse, pairs.margin
