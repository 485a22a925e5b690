"""The policy's weights as another program wants them, and proof that it really samples from them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from rlaif.data.rows import Row
from rlaif.errors import RunFailed
from rlaif.rl.batch import Batch, collate
from rlaif.rl.networks import POLICY, Policy
from rlaif.rl.rollout import Query, Rollout, Sampler
from rlaif.rl.shard import whole

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROMPTS, LENGTH = 4, 48
"""Of the check: random tokens, more than a block of any prefix cache."""
TEMPERATURE = 0.7
"""Of the check: not 1, so that log-probabilities taken before the temperature show."""
CLEAR = 0.5
"""Nats by which the check's change of the weights moves log-probabilities at least, on average."""


@torch.no_grad()
def merged_weights(model: Any) -> Iterator[tuple[str, Tensor]]:
    """(name, weight) of the policy as a plain causal model. The policy's adapter, where there is one, is merged into copies,
    one layer at a time; the model stays as it is, to the bit."""
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    for name, value in causal.named_parameters():
        path, inside, leaf = name.partition(".base_layer.")
        layer = causal.get_submodule(path) if inside else None
        if layer is not None and leaf == "weight" and POLICY in layer.lora_A:
            yield f"{path}.weight", whole((value + layer.get_delta_weight(POLICY)).to(value.dtype))
        elif inside:
            yield f"{path}.{leaf}", whole(value.detach())
        elif "lora_" not in name:
            yield name, whole(value.detach())


@torch.no_grad()
def adapter_weights(model: Any) -> dict[str, Tensor]:
    """The policy's adapter alone, in main memory, by the names of peft's files."""
    from peft import get_peft_model_state_dict

    found = get_peft_model_state_dict(model, adapter_name=POLICY, save_embedding_layers=False)
    return {name: whole(value.detach()).to("cpu").contiguous() for name, value in found.items()}


def save_adapter(model: Any, folder: Path) -> None:
    """Write it as peft does, for an engine to read."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(adapter_weights(model), folder / "adapter_model.safetensors", {"format": "pt"})
    model.peft_config[POLICY].save_pretrained(str(folder))


def prove(sampler: Sampler, policy: Policy, tokenizer: PreTrainedTokenizerBase, tolerance: float) -> None:
    """Raise RunFailed unless the sampler draws from the policy's weights as they are, before and after they change.

    The same prompts are sampled from the policy, and from the policy with noise on all that is trained; both times the
    sampler's log-probabilities must be the policy's own, to ``tolerance`` nats on average. Greedy texts would not do: with a
    head that stayed behind they are often the same. In the end the weights are what they were, to the bit.
    """
    generator = torch.Generator().manual_seed(0)
    sampler.update(policy.model)
    before = _sample(sampler, policy, tokenizer)
    off = _distance(before.sampled, _logprobs(policy, before), before.mask)
    if off <= tolerance:
        with _perturbed(policy, before, generator):
            sampler.update(policy.model)
            after = _sample(sampler, policy, tokenizer)
            off = _distance(after.sampled, _logprobs(policy, after), after.mask)
        sampler.update(policy.model)
    if not off <= tolerance:
        raise RunFailed(
            "the sampler does not draw from the policy's weights: after an update its log-probabilities are off by "
            f"{off:.2g} per token, and {tolerance:g} is allowed. The likely causes: a head tied to the embeddings that stayed "
            "behind, another precision, or log-probabilities taken before the temperature (vLLM: --logprobs-mode "
            "processed_logprobs). --sampler transformers always works"
        )


@contextmanager
def _perturbed(policy: Policy, batch: Batch, generator: torch.Generator) -> Iterator[None]:
    """Noise on some of what is trained, enough to be seen in the log-probabilities of the batch.

    It is of rank one in each matrix: as many random numbers as rows and columns. One for each weight of a large model takes
    longer than everything else at a start.
    """
    trained = [value for name, value in policy.parameters().items() if _is_moved(name, policy)]
    kept = [value.detach().to("cpu", copy=True) for value in trained]
    asked, strength = _logprobs(policy, batch), 0.1
    try:
        while True:
            for value, original in zip(trained, kept, strict=True):
                spread = original.float().std().item() if original.numel() > 1 else 0.0
                value.data.copy_(original + strength * (spread or 0.02) * _noise(original.shape, generator))
            if _distance(_logprobs(policy, batch), asked, batch.mask) >= CLEAR or strength > 10:
                break
            strength *= 2
        yield
    finally:
        for value, original in zip(trained, kept, strict=True):
            value.data.copy_(original)


def _is_moved(name: str, policy: Policy) -> bool:
    """Whether the check moves a parameter: those of the first, the middle and the last layer, and those of no layer, such as
    embeddings and the output layer."""
    numbers = re.findall(r"\.(\d+)\.", name)
    last = policy.causal.config.get_text_config().num_hidden_layers - 1
    return not numbers or int(numbers[0]) in (0, last // 2, last)


def _noise(shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Of variance 1, the product of a random vector for each dimension."""
    parts = [torch.randn(size, generator=generator) for size in shape]
    noise = parts[0]
    for part in parts[1:]:
        noise = noise[..., None] * part
    return noise


def _sample(sampler: Sampler, policy: Policy, tokenizer: PreTrainedTokenizerBase) -> Batch:
    """Two responses to each of the check's prompts."""
    ids = torch.randint(len(tokenizer), (PROMPTS, LENGTH), generator=torch.Generator().manual_seed(1)).tolist()
    queries = [Query(Row(group, str(group), (), ()), "", group, tuple(prompt)) for group, prompt in enumerate(ids)]

    async def draw() -> list[Rollout]:
        return [rollout async for part in sampler.sample(queries, 2, TEMPERATURE, 0) for rollout in part]

    with ThreadPoolExecutor(1) as thread:  # there may be an event loop in this one
        rollouts = thread.submit(lambda: asyncio.run(draw())).result()
    return collate(sorted(rollouts, key=lambda rollout: rollout.query.group), 0, policy.model.device)


@torch.no_grad()
def _logprobs(policy: Policy, batch: Batch) -> Tensor:
    with policy.active():
        return policy.logprobs(batch, TEMPERATURE)[0]


def _distance(first: Tensor, second: Tensor, mask: Tensor) -> float:
    return (first - second)[mask].abs().mean().item()
