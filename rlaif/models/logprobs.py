"""Log-probabilities and entropies over a large vocabulary, a few rows of it at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 2**21
"""Logits (rows × vocabulary) that are held at once: 8 MiB, of the order of a processor's cache."""


def chunked_logprobs(
    hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float = 1.0, entropy: bool = True
) -> tuple[Tensor, Tensor]:
    """log softmax(hidden weightᵀ / temperature)[tokens] and the entropy of that distribution, in float32.

    Logits are made chunk by chunk and made again in the backward pass: memory does not grow with rows × vocabulary, at the
    price of one more product per step.

    Args: hidden: [N, H]. weight: [V, H], of the output layer. tokens: [N]. entropy: whether entropies are wanted at all.
    Returns: log-probabilities [N], entropies [N] in nats (0 where not wanted); both can be differentiated.
    """
    result: tuple[Tensor, Tensor] = _Chunked.apply(hidden, weight, tokens, temperature, entropy)  # type: ignore[no-untyped-call]
    return result


class _Chunked(torch.autograd.Function):
    """Passes over the logits take longer than the products where the vocabulary is large, so that they are few and in place."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float, entropy: bool
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies, normalisers = torch.zeros(3, len(hidden), dtype=torch.float32, device=hidden.device)
        for part in _chunks(len(hidden), len(weight)):
            logits = _logits(hidden[part], weight, temperature)
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
        hidden, weight, tokens, normalisers, entropies = ctx.saved_tensors
        of_logprobs = torch.zeros_like(normalisers) if gradients[0] is None else gradients[0]
        of_entropies = gradients[1]
        to_hidden = torch.empty_like(hidden)
        to_weight = torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        # d log p[token]/dz = 1[token] − p, and dH/dz = −p (log p + H): all but 1[token] is p times a factor, subtracted.
        for part in _chunks(len(hidden), len(weight)):
            step = _logits(hidden[part], weight, ctx.temperature).sub_(normalisers[part, None])
            factor = of_logprobs[part, None]
            if of_entropies is None:
                step.exp_().mul_(factor)
            else:
                p = step.exp()
                step.add_(entropies[part, None]).mul_(of_entropies[part, None]).add_(factor).mul_(p)
            step = step.to(hidden.dtype)
            torch.mm(step, weight, out=to_hidden[part])
            if to_weight is not None:
                _subtract_product(to_weight, step.T, hidden[part])
        scaled = hidden * of_logprobs[:, None].to(hidden.dtype)
        to_hidden = (weight[tokens] * of_logprobs[:, None] - to_hidden).div_(ctx.temperature).to(hidden.dtype)
        if to_weight is not None:
            to_weight = to_weight.index_add_(0, tokens, scaled.float()).div_(ctx.temperature).to(weight.dtype)
        return to_hidden, to_weight, None, None, None


def _subtract_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total −= left right, without a tensor in between where none is needed."""
    if left.dtype == total.dtype:
        total.addmm_(left, right, alpha=-1)
    else:
        total -= left @ right


def _logits(hidden: Tensor, weight: Tensor, temperature: float) -> Tensor:
    logits = (hidden @ weight.T).float()
    return logits if temperature == 1 else logits.div_(temperature)


def _chunks(rows: int, vocabulary: int) -> list[slice]:
    size = max(1, CHUNK // vocabulary)
    return [slice(start, start + size) for start in range(0, rows, size)]


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
