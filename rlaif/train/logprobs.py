"""From logits to the log-probabilities of responses."""

from __future__ import annotations

import torch
from torch import Tensor


def token_logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log softmax(logits)[tokens], in float32.

    Args: logits: [N, V]. tokens: [N].
    Returns: [N].
    """
    logits = logits.float()
    return logits.gather(-1, tokens[:, None]).squeeze(-1) - logits.logsumexp(-1)


def sequence_logprobs(logits: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The log-probability of each sequence's response, and its length. The vocabulary is normalised over only where the
    mask is set, which saves most of the memory when prompts are long.

    Args: logits: [B, K, V], of the last K positions of ids. ids: [B, T]. mask: [B, T], true on the response's tokens; none
        before position T − K + 1, since the logits at one position are of the next token.
    Returns: sums over the response's tokens [B], and numbers of tokens [B], both float32.
    """
    first = ids.shape[1] - logits.shape[1]
    said = mask[:, first + 1 :]
    values = token_logprobs(logits[:, :-1][said], ids[:, first + 1 :][said])
    rows = said.nonzero()[:, 0]
    sums = torch.zeros(ids.shape[0], dtype=torch.float32, device=logits.device).index_add(0, rows, values)
    return sums, mask.sum(-1).float()
