"""What the steps of the offline methods (``methods``) share: a batch and the model in, losses and what to watch out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor

from rlaif.models.responses import response_logprobs
from rlaif.train.batches import Batch


class Step(NamedTuple):
    """total: the sum of the batch's losses over rows (over tokens for sft), a scalar with gradient. metrics: what to watch,
    [B] each or a scalar, without gradient."""

    total: Tensor
    metrics: Mapping[str, Tensor]


class Pairs(NamedTuple):
    """What is known of B pairs of responses, [B] each. chosen, rejected: the policy's log-probabilities, sums over tokens;
    chosen_tokens, rejected_tokens: of how many; ref_chosen, ref_rejected: the reference policy's, empty without one. p: the
    probability that ``chosen`` is better."""

    chosen: Tensor
    rejected: Tensor
    chosen_tokens: Tensor
    rejected_tokens: Tensor
    ref_chosen: Tensor
    ref_rejected: Tensor
    p: Tensor

    @property
    def averages(self) -> tuple[Tensor, Tensor]:
        """The policy's log-probabilities per token, of chosen and of rejected."""
        return self.chosen / self.chosen_tokens, self.rejected / self.rejected_tokens

    @property
    def margin(self) -> Tensor:
        """By how much more than the reference the policy prefers ``chosen``."""
        return (self.chosen - self.ref_chosen) - (self.rejected - self.ref_rejected)


def by_row(losses: Tensor, metrics: Mapping[str, Tensor]) -> Step:
    """The step of losses [B]."""
    return Step(losses.sum(), {name: value.detach() for name, value in metrics.items()})


def pair_step(losses: Callable[[Pairs], tuple[Tensor, Tensor]], model: Any, batch: Batch) -> Step:
    """The step of a method that compares two responses. losses: gives (losses, margins) of pairs."""
    sums, lengths = logprobs(model, batch)
    reference = batch.reference if batch.reference.numel() else sums.new_zeros(0)
    (chosen, rejected), (chosen_tokens, rejected_tokens) = sums.chunk(2), lengths.chunk(2)
    ref_chosen, ref_rejected = reference.tensor_split(2)
    pairs = Pairs(chosen, rejected, chosen_tokens, rejected_tokens, ref_chosen, ref_rejected, batch.p)
    values, margin = losses(pairs)
    watched = {"margin": margin, "accuracy": accuracy(margin, pairs.p)}
    return by_row(values, watched | {"logp_chosen": pairs.chosen, "logp_rejected": pairs.rejected})


def logprobs(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """(sums, lengths), [S·B] each ([N] where N rows are packed): log-probabilities of the responses, and their numbers of
    tokens."""
    # A mask beside the positions would be taken for all there is to say.
    options = {"position_ids": batch.positions} if batch.positions.numel() else {"attention_mask": batch.attention}
    return response_logprobs(model, batch.ids, batch.response, **options)


def accuracy(margin: Tensor, p: Tensor) -> Tensor:
    """1 where the margin [B] has the label's sign, 0 where not, ½ where either says nothing."""
    return ((margin.sign() * (p - 0.5).sign()) + 1) / 2
