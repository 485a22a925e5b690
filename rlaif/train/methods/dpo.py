"""Direct preference optimisation, in three forms for soft labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from rlaif.settings import setting
from rlaif.train.methods.base import PANEL, PairLoss

if TYPE_CHECKING:
    from torch import Tensor

    from rlaif.train.objectives import Pairs

Form = Literal["soft", "geometric", "robust"]


@dataclass(frozen=True)
class Dpo(PairLoss):
    """form: ``soft`` (cross-entropy with p), ``geometric`` or ``robust`` (with flip_rate, the share of wrong labels)."""

    name: ClassVar[str] = "dpo"
    title: ClassVar[str] = "direct preference optimisation"
    rate: ClassVar[float] = 1e-6
    reference: ClassVar[bool] = True

    beta: float = setting(0.1, "Strength of the loss.", panel=PANEL, above=0)
    form: Form = setting("soft", "soft, geometric or robust.", panel=PANEL)
    flip_rate: float = setting(0.1, "Robust form: share of labels that are wrong.", panel=PANEL, least=0, below=0.5)

    def losses(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        from rlaif.train import losses

        given = (pairs.chosen, pairs.rejected, pairs.ref_chosen, pairs.ref_rejected, pairs.p)
        if self.form == "geometric":
            values = losses.geometric_dpo(*given, self.beta)
        elif self.form == "robust":
            values = losses.robust_dpo(*given, self.beta, self.flip_rate)
        else:
            values = losses.dpo(*given, self.beta)
        return values, pairs.margin
