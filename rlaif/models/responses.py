"""Log-probabilities of responses without the logits of whole sequences, from inside of the model's own forward pass: whatever
wraps the model (adapters, data parallelism, FSDP, DeepSpeed) stays in force."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from rlaif.models.logprobs import chunked_logprobs, float32_logits, sequence_logprobs

_CHANGED: WeakSet[nn.Module] = WeakSet()
"""Output layers of models that change the logits afterwards (a soft cap, a scale): these need the logits themselves."""


def response_logprobs(model: Any, ids: Tensor, mask: Tensor, **options: Any) -> tuple[Tensor, Tensor]:
    """The log-probability of each sequence's response, and its length, with gradient.

    While the model runs, its output layer gives the log-probabilities of the responses' tokens in place of logits
    (``chunked_logprobs``): 4 bytes a token, and not 4 bytes for every token of the vocabulary. Where the model changes what its
    output layer gave, or has one that is no plain product, the logits are made after all, from the first response's start.

    Args: model: a causal language model, wrapped or not. ids: [B, T]. mask: [B, T], true on the responses' tokens; never
        at position 0, which is predicted from nothing. options: of the model's forward pass, besides.
    Returns: sums over the response's tokens [B], and numbers of tokens [B], both float32.
    """
    first = max(1, int(mask.int().argmax(-1).min()))
    keep = ids.shape[1] - first + 1
    if takes(model, "logits_to_keep"):
        options["logits_to_keep"] = keep
    head = _output_layer(model)
    if type(head) is nn.Linear and head.bias is None and head not in _CHANGED:
        predicted, tokens = mask[:, first:], ids[:, first:][mask[:, first:]]
        given: list[Tensor] = []

        def read(hidden: Tensor) -> Tensor:
            states, weight = _autocast(hidden[:, -keep:-1][predicted]), _autocast(head.weight)
            values, _ = chunked_logprobs(states, weight, tokens, entropy=False)
            spread = torch.zeros(predicted.shape, dtype=values.dtype, device=values.device).masked_scatter(predicted, values)
            given.append(spread[..., None])
            return given[0]

        with in_place_of(head, read):
            found = model(input_ids=ids, use_cache=False, **options).logits
        if found.shape == given[0].shape and torch.equal(found.detach(), given[0].detach()):
            return found.squeeze(-1).sum(-1), mask.sum(-1).float()
        _CHANGED.add(head)
    logits = model(input_ids=ids, use_cache=False, **options).logits
    return sequence_logprobs(logits[:, -keep:], ids, mask)


@contextmanager
def exact_logits(model: Any) -> Iterator[None]:
    """While the model runs, its output layer's product is made in float32, also of half-precision weights and under autocast.

    In bfloat16 logits of 16 to 32 are .125 apart: two labels that a critic tells apart come out alike. Output layers that are
    no plain product stay as they are.
    """
    head = _output_layer(model)
    if type(head) is not nn.Linear:
        yield
        return

    def product(hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            if torch.is_grad_enabled():
                logits = hidden.float() @ head.weight.float().T
            else:
                logits = float32_logits(hidden.flatten(0, -2), head.weight).view(*hidden.shape[:-1], -1)
            return logits if head.bias is None else logits + head.bias

    with in_place_of(head, product):
        yield


def takes(model: Any, argument: str) -> bool:
    """Whether the model under any wrapping takes an argument in its forward pass."""
    return argument in inspect.signature(type(_unwrapped(model)).forward).parameters


def _unwrapped(model: Any) -> Any:
    """The model without data parallelism and adapter."""
    inner = getattr(model, "module", model)
    return inner.get_base_model() if hasattr(inner, "get_base_model") else inner


def _output_layer(model: Any) -> Any:
    """None where the model has none of its own."""
    inner = _unwrapped(model)
    return inner.get_output_embeddings() if hasattr(inner, "get_output_embeddings") else None


@contextmanager
def in_place_of(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Calls of ``module`` (hooks included) run ``forward``."""
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


def _autocast(value: Tensor) -> Tensor:
    """As a product under autocast would take it."""
    kind = value.device.type
    return value.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else value
