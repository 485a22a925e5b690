"""Scores from a trained reward model: members' scores normalised, combined into one, and missing where there can be none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForSequenceClassification

from rlaif.data.rows import Turn
from rlaif.engines.base import Failure
from rlaif.errors import UsageError
from rlaif.models.load import find_base
from rlaif.train.batches import collate
from rlaif.train.config import Prediction
from rlaif.train.items import Encoder, Item, Tokens
from rlaif.train.rows import Example

KEY = "rlaif_reward"
"""Where in a reward model's configuration its context and its members' normalisation are."""
BATCH_TOKENS = 8192


def combine(members: Tensor, prediction: Prediction = "mean", penalty: float = 0.5) -> Tensor:
    """One score from an ensemble's.

    ``mean``; ``worst``, the minimum (worst-case optimisation); ``uncertainty``, mean − λ · variance over the members, with
    1/k in the variance. A missing member makes the result missing.

    Args: members: [B, M]. penalty: λ.
    Returns: [B].
    Source: Coste et al. 2023, arXiv 2310.02743; λ = .5 is theirs for best-of-n, .1 for PPO.
    """
    if prediction == "worst":
        return members.amin(-1)
    mean = members.mean(-1)
    return mean if prediction == "mean" else mean - penalty * members.var(-1, correction=0)


class RewardModel:
    """A reward model's folder (or hub id), ready to score.

    prediction, penalty: as in ``combine``. Scores are normalised as the folder says (``rlaif train reward`` writes it): 0 on
    average over the reference policy's samples, with a standard deviation of 1. A model that says nothing is left as it is.

    Raises UsageError where the model has no head to score with, or cannot be loaded.
    """

    def __init__(
        self, path: str, prediction: Prediction = "mean", penalty: float = 0.5, trust_remote_code: bool = False
    ) -> None:
        if prediction not in get_args(Prediction):
            raise UsageError(f"prediction {prediction!r}: must be one of {', '.join(get_args(Prediction))}")
        base = find_base(path, "sequence-classification", None, "auto", trust_remote_code)
        config = AutoConfig.from_pretrained(base.source, trust_remote_code=trust_remote_code)
        config.pad_token_id = base.pad
        model, report = AutoModelForSequenceClassification.from_pretrained(
            base.source,
            config=config,
            dtype=torch.bfloat16 if base.bf16 else torch.float32,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
        if report["missing_keys"]:  # transformers would make them up
            raise UsageError(f"{path}: not a reward model, it has no {', '.join(sorted(report['missing_keys']))}")
        self.identity = base.identity
        self.model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self._prediction, self._penalty, self._pad = prediction, penalty, base.pad
        said = getattr(config, KEY, {})
        self._encoder = Encoder(base.tokenizer, said.get("context", base.context))
        self._mean = torch.tensor(said.get("mean", [0.0] * config.num_labels))
        self._std = torch.tensor(said.get("std", [1.0] * config.num_labels))

    @property
    def scale(self) -> Tensor:
        """[M]: what the differences of each member's normalised scores are multiplied by to be log-odds, as in training."""
        return self._std

    def members(self, conversations: Sequence[tuple[Turn, ...]], responses: Sequence[str]) -> Tensor:
        """Normalised scores [B, M] of each response to its conversation, on the CPU in float32.

        Text is encoded as in training: what is too long for the context is cut from the prompt's middle, then from the
        response's end. A row is NaN where training would have left it out: its prompt alone fills the context, or the chat
        template refuses it.
        """
        scores = torch.full((len(responses), len(self._mean)), torch.nan)
        encoded = [encode(self._encoder, *row) for row in zip(conversations, responses, strict=True)]
        encodable = [index for index, tokens in enumerate(encoded) if tokens is not None]
        if encodable:
            raw = raw_scores(self.model, [tokens for tokens in encoded if tokens is not None], self._pad)
            scores[encodable] = (raw - self._mean) / self._std
        return scores

    def scores(self, conversations: Sequence[tuple[Turn, ...]], responses: Sequence[str]) -> Tensor:
        """One score for each response [B], the members' scores combined; NaN as in ``members``."""
        return combine(self.members(conversations, responses), self._prediction, self._penalty)


def encode(encoder: Encoder, conversation: tuple[Turn, ...], response: str) -> Tokens | None:
    """A conversation and its answer as in training; None for what training would leave out. Raises ValueError for an empty
    conversation."""
    if not conversation:
        raise ValueError("a response can only be scored as the answer to a conversation")
    try:
        items = encoder.items(Example(0, "", conversation, (response,)))
    except UsageError:  # of the chat template
        return None
    return None if isinstance(items, Failure) else items[0].sequences[0]


@torch.no_grad()
def raw_scores(model: Any, sequences: Sequence[Tokens], pad: int) -> Tensor:
    """The scores [N, M] as the model gives them, in float32 on the CPU, computed in batches of sequences of like length."""
    training = model.training
    model.eval()
    order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index].ids))
    parts, start = [], 0
    while start < len(order):
        size = max(1, BATCH_TOKENS // len(sequences[order[start]].ids))
        batch = collate([Item((sequences[index],), 1.0) for index in order[start : start + size]], pad)
        device = next(model.parameters()).device
        scores = model(input_ids=batch.ids.to(device), attention_mask=batch.attention.to(device)).logits
        parts.append(scores.float().cpu())
        start += size
    model.train(training)
    return torch.cat(parts)[torch.tensor(order).argsort()]
