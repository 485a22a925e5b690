"""The reward model: one score per conversation, from ``AutoModelForSequenceClassification`` with one label."""

from __future__ import annotations

from typing import Any

from rlaif.train import losses
from rlaif.train.batches import Batch
from rlaif.train.config import Reward
from rlaif.train.objectives import Objective, Step, accuracy, by_row


def objective(settings: Reward) -> Objective:
    """Bradley–Terry on the scores of both responses, with soft labels."""

    def step(model: Any, batch: Batch) -> Step:
        scores = model(input_ids=batch.ids, attention_mask=batch.attention).logits.squeeze(-1).float()
        chosen, rejected = scores.chunk(2)
        values = losses.bradley_terry(chosen, rejected, batch.p, settings.margin * batch.margin, settings.centre)
        margin = chosen - rejected
        return by_row(values, {"margin": margin, "accuracy": accuracy(margin, batch.p), "score": scores.mean()})

    return step
