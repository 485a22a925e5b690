"""Identity preference optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.settings import setting
from rlaif.train.methods.base import PANEL, PairLoss

if TYPE_CHECKING:
    from torch import Tensor

    from rlaif.train.objectives import Pairs


@dataclass(frozen=True)
class Ipo(PairLoss):
    """per_token: average log-ratios over the response's tokens, or (false) sum them as the paper prints it."""

    name: ClassVar[str] = "ipo"
    title: ClassVar[str] = "identity preference optimisation"
    rate: ClassVar[float] = 1e-6
    reference: ClassVar[bool] = True

    tau: float = setting(0.1, "Strength of the loss.", panel=PANEL, above=0)
    per_token: bool = setting(True, "Average log-ratios, or sum.", panel=PANEL)

    def losses(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        from rlaif.train.losses import ipo

        lengths = (pairs.chosen_tokens, pairs.rejected_tokens) if self.per_token else None
        values = ipo(pairs.chosen, pairs.rejected, pairs.ref_chosen, pairs.ref_rejected, pairs.p, self.tau, lengths)
        return values, pairs.margin
