"""The reward model: a score per member and conversation, from ``AutoModelForSequenceClassification`` with a label for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rlaif.models.config import ModelKind
from rlaif.settings import setting
from rlaif.train.methods.base import PANEL, Loss

if TYPE_CHECKING:
    from rlaif.train.batches import Batch
    from rlaif.train.items import Encoder, Item, Tokens
    from rlaif.train.objectives import Step


@dataclass(frozen=True)
class Reward(Loss):
    """margin: how many times the rows' ``margin`` column the scores must differ by. centre: η of ``bradley_terry``.
    members: heads of an ensemble that share the model. normalise: rows whose responses, the reference policy's samples, are
    to score 0 ± 1; None for the training rows' own."""

    name: ClassVar[str] = "reward"
    title: ClassVar[str] = "a reward model"
    rate: ClassVar[float] = 1e-5
    model: ClassVar[ModelKind] = "sequence-classification"

    margin: float = setting(0.0, "How many times the rows' margin to demand.", panel=PANEL, least=0)
    centre: float = setting(0.0, "Pull of the scores to a mean of 0.", panel=PANEL, least=0)
    members: int = setting(1, "Heads of an ensemble, each with its own weights of the rows.", panel=PANEL, least=1)
    normalise: str | None = setting(
        None, "Rows whose responses are to score 0 ± 1; default: the training rows.", panel=PANEL, metavar="SOURCE", path=True
    )

    @property
    def heads(self) -> int:
        return self.members

    def arrange(self, items: Sequence[Item], context: int, seed: int, held_out: bool) -> list[Item]:
        from rlaif.train.reward_model import bootstrap

        return list(items) if held_out else bootstrap(items, self.members, seed)

    def step(self, model: Any, batch: Batch) -> Step:
        """Bradley–Terry on the scores of both responses, with soft labels; the mean over members, each with its own weights of
        the rows. ``margin`` and ``accuracy`` are the ensemble's: of its mean score."""
        from rlaif.train.losses import bradley_terry
        from rlaif.train.objectives import accuracy, by_row

        scores = model(input_ids=batch.ids, attention_mask=batch.attention).logits.float()
        chosen, rejected = scores.chunk(2)
        losses = bradley_terry(chosen, rejected, batch.p[:, None], self.margin * batch.margin[:, None], self.centre)
        if batch.weights.shape[-1]:
            losses = losses * batch.weights
        margin = (chosen - rejected).mean(-1)
        return by_row(losses.mean(-1), {"margin": margin, "accuracy": accuracy(margin, batch.p), "score": scores.mean()})

    def scale(self, items: Sequence[Item], encoder: Encoder, seed: int) -> list[Tokens]:
        from rlaif.train.reward_model import reference_samples

        return reference_samples(self.normalise, items, encoder, seed)
