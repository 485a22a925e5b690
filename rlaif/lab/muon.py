"""Muon (Jordan et al., 2024): momentum whose update is made orthogonal, for the matrices inside a transformer.

``torch.optim.Muon`` does the same one matrix at a time in bfloat16, which costs half a training step on a CPU without bfloat16
arithmetic. Here matrices of one shape are stacked and orthogonalised together in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor


class Muon(torch.optim.Optimizer):
    """lr: size of a step, scaled by sqrt(max(1, rows/columns)). Nesterov momentum; decoupled weight decay."""

    def __init__(self, params: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.01) -> None:
        matrices: dict[torch.Size, list[Tensor]] = {}
        for parameter in params:
            matrices.setdefault(parameter.shape, []).append(parameter)
        groups = [{"params": stack} for stack in matrices.values()]
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            stack = group["params"]
            gradient = torch.stack([parameter.grad for parameter in stack])
            momentum = self.state[stack[0]].setdefault("momentum", torch.zeros_like(gradient))
            momentum.lerp_(gradient, 1 - group["momentum"])
            update = orthogonal(gradient.lerp(momentum, group["momentum"]))
            rows, columns = update.shape[1:]
            size = group["lr"] * max(1.0, rows / columns) ** 0.5
            for parameter, change in zip(stack, update, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(change, alpha=size)


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Matrices [N, R, C] with their singular values brought near 1, by a quintic Newton–Schulz iteration."""
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = 3.4445 * x + (-4.775 * square + 2.0315 * square @ square) @ x
    return x.mT if tall else x
