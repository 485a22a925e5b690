"""Kahneman–Tversky optimisation: single completions, each desirable or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rlaif.errors import UsageError
from rlaif.settings import setting
from rlaif.train.kinds import RowKind
from rlaif.train.methods.base import PANEL, Loss

if TYPE_CHECKING:
    from torch import Tensor

    from rlaif.train.batches import Batch
    from rlaif.train.items import Item
    from rlaif.train.objectives import Step


@dataclass(frozen=True)
class Kto(Loss):
    """desirable, undesirable: the weights λ_D and λ_U."""

    name: ClassVar[str] = "kto"
    title: ClassVar[str] = "Kahneman–Tversky optimisation"
    rate: ClassVar[float] = 5e-6
    rows: ClassVar[RowKind] = "unpaired"
    reference: ClassVar[bool] = True
    baseline: ClassVar[bool] = True

    beta: float = setting(0.1, "Strength of the loss.", panel=PANEL, above=0)
    desirable: float = setting(1.0, "Weight of desirable completions.", panel=PANEL, above=0)
    undesirable: float = setting(1.0, "Weight of undesirable completions.", panel=PANEL, above=0)

    def check(self, batch_size: int) -> None:
        if batch_size < 2:
            raise UsageError("--batch-size: kto needs at least 2 rows in a step, for the baseline z0")

    def arrange(self, items: Sequence[Item], context: int, seed: int, held_out: bool) -> list[Item]:
        from rlaif.train.batches import mismatched

        return mismatched(items, context, seed)

    def step(self, model: Any, batch: Batch) -> Step:
        from rlaif.train.losses import kto
        from rlaif.train.objectives import accuracy, by_row, logprobs

        rows = slice(len(batch.p))
        policy, _ = logprobs(model, batch.take(rows))
        reference, z0 = batch.reference[rows], batch.baseline
        values = kto(policy, reference, batch.p, z0, self.beta, self.desirable, self.undesirable)
        margin = (2 * batch.p - 1) * (policy - reference)
        return by_row(values, {"margin": margin, "accuracy": accuracy(policy - reference, batch.p), "z0": z0})

    def log_ratios(self, model: Any, batch: Batch) -> Tensor:
        """Of the mismatched completions, which follow the rows' own in the batch."""
        from rlaif.train.objectives import logprobs

        rows = slice(len(batch.p), None)
        sums, _ = logprobs(model, batch.take(rows))
        return sums - batch.reference[rows]
