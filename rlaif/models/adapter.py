"""LoRA's product with less around it: one pass over the output, and the input kept once for the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn


class FusedLinear(Linear):
    """peft's layer, which it is in everything but the speed of its usual case: one active adapter without dropout on a linear
    layer whose weights are frozen. All other cases are peft's."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        base, names = self.base_layer, [name for name in self.active_adapters if name in self.lora_A]
        dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype
        usual = type(base) is nn.Linear and base.weight.dtype == dtype and not base.weight.requires_grad
        plain = not (args or kwargs or self.disable_adapters or self.merged or self.lora_variant)
        if len(names) != 1 or not usual or not plain or not isinstance(self.lora_dropout[names[0]], nn.Identity):
            return super().forward(x, *args, **kwargs)
        down, up = self.lora_A[names[0]], self.lora_B[names[0]]
        if down.bias is not None or up.bias is not None:
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            weights = (down.weight.to(dtype), up.weight.to(dtype))
            rows = x.reshape(-1, x.shape[-1]).to(dtype)
            result: Tensor = _Product.apply(rows, base.weight, base.bias, *weights, self.scaling[names[0]])
        return result.view(*x.shape[:-1], -1)


class _Product(torch.autograd.Function):
    """x Wᵀ + b + s (x Aᵀ) Bᵀ (Hu et al. 2021, arXiv 2106.09685, eq. 3), W and b without a gradient.

    Shapes: x: [N, I]. W: [O, I]. b: [O] or None. A: [r, I]. B: [O, r].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, down: Tensor, up: Tensor, scale: float) -> Tensor:
        inner = x @ down.T
        ctx.save_for_backward(x, weight, down, up, inner)
        ctx.scale = scale
        return nn.functional.linear(x, weight, bias).addmm_(inner, up.T, alpha=scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None, None, Tensor, Tensor, None]:
        x, weight, down, up, inner = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            inward = (gradient @ up).mul_(ctx.scale)
            to_x = (gradient @ weight).addmm_(inward, down) if ctx.needs_input_grad[0] else None
            return to_x, None, None, inward.T @ x, (gradient.T @ inner).mul_(ctx.scale), None


def fuse(model: Any) -> None:
    """Make the model's LoRA layers fused ones, in place."""
    for layer in model.modules():
        if type(layer) is Linear:
            layer.__class__ = FusedLinear
