"""Contrastive preference optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.settings import setting
from rlaif.train.methods.base import PANEL, PairLoss

if TYPE_CHECKING:
    from torch import Tensor

    from rlaif.train.objectives import Pairs


@dataclass(frozen=True)
class Cpo(PairLoss):
    """alpha: weight of the better response's negative log-likelihood."""

    name: ClassVar[str] = "cpo"
    title: ClassVar[str] = "contrastive preference optimisation"
    rate: ClassVar[float] = 1e-6

    beta: float = setting(0.1, "Strength of the loss.", panel=PANEL, above=0)
    alpha: float = setting(1.0, "Weight of the likelihood.", panel=PANEL, least=0)

    def losses(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        from rlaif.train.losses import cpo

        chosen, rejected = pairs.averages
        values = cpo(pairs.chosen, pairs.rejected, -chosen, -rejected, pairs.p, self.beta, self.alpha)
        return values, pairs.chosen - pairs.rejected
