from dataclasses import dataclass
from typing import ClassVar

import pytest

from rlaif.train.methods.base import PairLoss


@dataclass(frozen=True)
class Gap(PairLoss):
    title: ClassVar[str] = "the gap itself"

    def losses(self, pairs):
        return pairs.rejected - pairs.chosen, pairs.chosen - pairs.rejected


def test_a_method_from_outside_is_named_by_its_place():
    assert Gap.name == f"{__name__}:Gap" and Gap.prefers()


def test_losses_are_summed_and_watched(model, batch, numbers):
    step = Gap().step(model, batch)
    assert step.total.item() == pytest.approx(sum(n.r - n.c for n in numbers), rel=1e-5)
    assert step.metrics["logp_chosen"].tolist() == pytest.approx([n.c for n in numbers], rel=1e-5)
    assert not step.metrics["margin"].requires_grad
