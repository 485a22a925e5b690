"""Log-probabilities and entropies over a large vocabulary, a few rows of it at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rlaif.models.config import chunk_size

BLOCK = 8192
"""Rows of a half-precision output layer that are turned into float32 at a time."""


def chunked_logprobs(
    hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float = 1.0, entropy: bool = True
) -> tuple[Tensor, Tensor]:
    """log softmax(hidden weightᵀ / temperature)[tokens] and the entropy of that distribution, in float32.

    Logits are in float32 for hidden states and weights in half precision too: rounded to bfloat16, one of 20 is off by up to
    .06. They are made chunk by chunk and made again in the backward pass: memory does not grow with rows × vocabulary, at the
    price of one more product per step.

    Args: hidden: [N, H]. weight: [V, H], of the output layer. tokens: [N]. entropy: whether entropies are wanted at all.
    Returns: log-probabilities [N], entropies [N] in nats (0 where not wanted); both can be differentiated.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        result: tuple[Tensor, Tensor] = _Chunked.apply(hidden, weight, tokens, temperature, entropy)  # type: ignore[no-untyped-call]
    return result


class _Chunked(torch.autograd.Function):
    """Passes over the logits take longer than the products where the vocabulary is large, so that they are few and in place."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float, entropy: bool
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies, normalisers = torch.zeros(3, len(hidden), dtype=torch.float32, device=hidden.device)
        for part in _chunks(hidden, weight):
            logits = float32_logits(hidden[part], weight, temperature)
            chosen = logits.gather(-1, tokens[part, None]).squeeze(-1)
            top = logits.amax(-1)
            logits.sub_(top[:, None])
            weights = logits.exp() if entropy else logits.exp_()
            total = weights.sum(-1)
            normalisers[part] = total.log() + top
            logprobs[part] = chosen - normalisers[part]
            if entropy:
                entropies[part] = total.log() - torch.einsum("nv,nv->n", weights, logits) / total
        ctx.save_for_backward(hidden, weight, tokens, normalisers, entropies)
        ctx.temperature = temperature
        ctx.set_materialize_grads(False)
        return logprobs, entropies

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        with torch.autocast(ctx.saved_tensors[0].device.type, enabled=False):
            return (*_gradients(ctx, *gradients), None, None, None)


def _gradients(ctx: Any, of_logprobs: Tensor | None, of_entropies: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Of the hidden states and of the weight."""
    hidden, weight, tokens, normalisers, entropies = ctx.saved_tensors
    of_logprobs = torch.zeros_like(normalisers) if of_logprobs is None else of_logprobs
    to_hidden = torch.empty_like(hidden)
    to_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
    # d log p[token]/dz = 1[token] − p, and dH/dz = −p (log p + H); ``step`` is the negative of their sum.
    for part in _chunks(hidden, weight):
        step = float32_logits(hidden[part], weight, ctx.temperature).sub_(normalisers[part, None])
        factor = of_logprobs[part, None]
        if of_entropies is None:
            step.exp_().mul_(factor)
        else:
            p = step.exp()
            step.add_(entropies[part, None]).mul_(of_entropies[part, None]).add_(factor).mul_(p)
        step[torch.arange(len(step), device=step.device), tokens[part]] -= factor.squeeze(-1)
        step = step.to(hidden.dtype)
        torch.mm(step, weight, out=to_hidden[part])
        if to_weight is not None:
            _subtract_product(to_weight, step.T, hidden[part])
    to_hidden.div_(-ctx.temperature)
    return to_hidden, None if to_weight is None else to_weight.div_(ctx.temperature).to(weight.dtype)


def _subtract_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total −= left right, without a tensor in between where none is needed."""
    if left.dtype == total.dtype:
        total.addmm_(left, right, alpha=-1)
    else:
        total -= left @ right


def float32_logits(hidden: Tensor, weight: Tensor, temperature: float = 1.0) -> Tensor:
    """hidden weightᵀ / temperature, [N, V] in float32, of half precision too; without gradient.

    Args: hidden: [N, H]. weight: [V, H].
    """
    if hidden.dtype not in (torch.bfloat16, torch.float16):
        logits = (hidden @ weight.T).float()
    elif hidden.device.type == "cuda":
        logits = torch.mm(hidden, weight.T, out_dtype=torch.float32)
    else:
        logits, rows = torch.empty(len(hidden), len(weight), device=hidden.device), hidden.float()
        for start in range(0, len(weight), BLOCK):
            logits[:, start : start + BLOCK] = rows @ weight[start : start + BLOCK].float().T
    return logits if temperature == 1 else logits.div_(temperature)


def _chunks(hidden: Tensor, weight: Tensor) -> list[slice]:
    size = max(1, chunk_size(hidden.device.type) // len(weight))
    return [slice(start, start + size) for start in range(0, len(hidden), size)]


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
    predicted = mask[:, first + 1 :]
    values = token_logprobs(logits[:, :-1][predicted], ids[:, first + 1 :][predicted])
    rows = predicted.nonzero()[:, 0]
    sums = torch.zeros(ids.shape[0], dtype=torch.float32, device=logits.device).index_add(0, rows, values)
    return sums, mask.sum(-1).float()
