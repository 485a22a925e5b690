"""What a step minimises: a batch and the model in, losses and what to watch out.

``preference`` and ``reward_model`` hold the methods; this file holds what they share.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from rlaif.models.logprobs import sequence_logprobs
from rlaif.train.batches import Batch


class Step(NamedTuple):
    """total: the sum of the batch's losses over rows (over tokens for sft), a scalar with gradient. metrics: what to watch,
    [B] each or a scalar, without gradient."""

    total: Tensor
    metrics: Mapping[str, Tensor]


Objective = Callable[[Any, Batch], Step]
"""(model, batch) → Step."""


def by_row(losses: Tensor, metrics: Mapping[str, Tensor]) -> Step:
    """The step of losses [B]."""
    return Step(losses.sum(), {name: value.detach() for name, value in metrics.items()})


def logprobs(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """(sums, lengths), [S·B] each ([N] where N rows are packed): log-probabilities of the responses, and their numbers of
    tokens.

    Logits are asked for from where the batch's first response begins; prompts cost no vocabulary-wide rows.
    """
    first = int(batch.response.int().argmax(-1).min())
    keep = batch.ids.shape[1] - first + 1
    options: dict[str, Any] = {"logits_to_keep": keep} if _takes(model, "logits_to_keep") else {}
    if batch.positions.numel():  # a mask beside the positions would be taken for all there is to say
        options["position_ids"] = batch.positions
    else:
        options["attention_mask"] = batch.attention
    logits = model(input_ids=batch.ids, use_cache=False, **options).logits
    return sequence_logprobs(logits[:, -keep:], batch.ids, batch.response)


def accuracy(margin: Tensor, p: Tensor) -> Tensor:
    """1 where the margin [B] has the label's sign, 0 where not, ½ where either says nothing."""
    return ((margin.sign() * (p - 0.5).sign()) + 1) / 2


def _takes(model: Any, argument: str) -> bool:
    """Whether the model under any wrapping (adapter, data parallelism) takes an argument in its forward pass."""
    inner = getattr(model, "module", model)
    inner = inner.get_base_model() if hasattr(inner, "get_base_model") else inner
    return argument in inspect.signature(type(inner).forward).parameters
