"""Weights, gradients and optimisers of several processes, a part in each (``--shard``): PyTorch's FSDP2.

What a process passes is gathered a layer at a time, and gradients are summed as they are scattered: the arithmetic is that of
whole weights. All processes make the same number of passes (``batch.passes``), because each gathers from all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers.modeling_layers import GradientCheckpointingLayer

from rlaif.errors import UsageError
from rlaif.models.responses import in_place_of
from rlaif.processes import processes


def check(asked: bool) -> None:
    """Raise UsageError where the launcher and ``--shard`` say different things."""
    if asked and processes().num_processes == 1:
        raise UsageError("--shard spreads the networks over several processes: start them with torchrun or accelerate launch")
    for name, launched in (("FSDP", "ACCELERATE_USE_FSDP"), ("DeepSpeed", "ACCELERATE_USE_DEEPSPEED")):
        if os.environ.get(launched) == "true" and not (asked and name == "FSDP"):
            raise UsageError(f"launched with {name}, by which on-policy methods spread nothing: use torchrun and --shard")


def shard(root: nn.Module) -> None:
    """Leave each process its part of every parameter, in place. root: what passes go through."""
    device = next(root.parameters()).device.type
    mesh = init_device_mesh(device, (processes().num_processes,))
    for layer in [part for part in root.modules() if isinstance(part, GradientCheckpointingLayer)]:
        _shard(layer, mesh)
    _shard(root, mesh)


def _shard(part: nn.Module, mesh: DeviceMesh) -> None:
    fully_shard(part, mesh=mesh)
    assert isinstance(part, FSDPModule)
    part.set_gradient_divide_factor(1.0)  # each token's share of the loss is of the whole minibatch: the sum is the gradient
    part.set_force_sum_reduction_for_comms(True)


class Body:
    """The body of a sharded causal model: its hidden states, by way of the whole, from which its weights are gathered."""

    def __init__(self, causal: Any, body: Any) -> None:
        self._causal, self._body = causal, body

    @property
    def is_gradient_checkpointing(self) -> bool:
        return bool(self._body.is_gradient_checkpointing)

    def __call__(self, **inputs: Any) -> Any:
        with in_place_of(self._causal.get_output_embeddings(), lambda hidden: hidden):
            return SimpleNamespace(last_hidden_state=self._causal(**inputs).logits)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """What passes inside leave gathered is let go of at the end, before any step can make it stale."""
    for name, value in model.named_parameters():
        if "lora_" in name:
            value.requires_grad_()  # FSDP keeps what it was at the first pass, and peft changes it with the active adapter
    yield
    for part in model.modules():
        if isinstance(part, FSDPModule):
            part.reshard()


def is_sharded(model: nn.Module) -> bool:
    return any(isinstance(value, DTensor) for value in model.parameters())


def whole(value: Tensor) -> Tensor:
    """A tensor in one piece. Of one that is sharded every process asks at the same time."""
    return value.full_tensor() if isinstance(value, DTensor) else value


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """``value``, which every process has whole, sharded as ``like`` is."""
    if not isinstance(like, DTensor):
        return value
    moved = value.to(like.device, like.dtype)
    return distribute_tensor(moved, like.device_mesh, like.placements, src_data_rank=None)


def norm(gradients: list[Tensor]) -> Tensor:
    """The norm of all of them together."""
    parts = [[each for each in gradients if isinstance(each, DTensor) is sharded] for sharded in (True, False)]
    norms = [whole(torch.nn.utils.get_total_norm(part)) for part in parts if part]
    return norms[0] if len(norms) == 1 else torch.stack(norms).norm()
