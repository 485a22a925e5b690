"""Odds-ratio preference optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.settings import setting
from rlaif.train.methods.base import PANEL, PairLoss

if TYPE_CHECKING:
    from torch import Tensor

    from rlaif.train.objectives import Pairs


@dataclass(frozen=True)
class Orpo(PairLoss):
    """weight: λ of the odds-ratio term."""

    name: ClassVar[str] = "orpo"
    title: ClassVar[str] = "odds-ratio preference optimisation"
    rate: ClassVar[float] = 5e-6

    weight: float = setting(0.1, "Weight of the odds ratio.", panel=PANEL, least=0)

    def losses(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        from rlaif.train.losses import orpo

        chosen, rejected = pairs.averages
        return orpo(chosen, rejected, pairs.p, self.weight), chosen - rejected
