"""Supervised fine-tuning: the likelihood of completions, or of plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rlaif.settings import setting
from rlaif.train.kinds import RowKind
from rlaif.train.methods.base import PANEL, Loss

if TYPE_CHECKING:
    from rlaif.train.batches import Batch
    from rlaif.train.items import Item
    from rlaif.train.objectives import Step


@dataclass(frozen=True)
class Sft(Loss):
    """packing: lay the examples of a forward pass end to end, in place of padding."""

    name: ClassVar[str] = "sft"
    title: ClassVar[str] = "supervised fine-tuning"
    rate: ClassVar[float] = 2e-5
    rows: ClassVar[RowKind] = "completions"
    by_token: ClassVar[bool] = True

    packing: bool = setting(False, "Lay examples end to end, in place of padding.", panel=PANEL)

    def check_model(self, model: Any, name: str) -> None:
        if self.packing:
            from rlaif.models.load import check_packing

            check_packing(model, name)

    def stack(self, items: Sequence[Item], pad: int, context: int) -> Batch:
        from rlaif.train.batches import collate, pack

        return pack(items, pad, context) if self.packing else collate(items, pad)

    def step(self, model: Any, batch: Batch) -> Step:
        from rlaif.train.objectives import Step, logprobs

        sums, _ = logprobs(model, batch)
        return Step(-sums.sum(), {})
