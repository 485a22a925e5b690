"""The losses of the update, per token: the caller sums them and divides by the iteration's number of tokens. Pure functions.

Shapes: every tensor is [B, T], and so is every result. ``mask`` is true on the tokens of responses that count; what stands
elsewhere is never read (NaN and infinity included), is 0 in every result and has no gradient. All arithmetic is in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

LARGEST_LOG_RATIO = 20.0
"""π / π_old is held below e²⁰: beyond it an infinite ratio times an advantage of 0 would be NaN."""


def policy_loss(
    logp: Tensor, old_logp: Tensor, advantages: Tensor, mask: Tensor, clip: tuple[float, float] | None = (0.2, 0.2)
) -> Tensor:
    """PPO's clipped surrogate. With the ratio ρ = π / π_old:

    max(−A ρ, −A clip(ρ, 1 − low, 1 + high))

    Where π is still π_old, ρ = 1 and the gradient is that of −A log π, whatever the clip: so this is also the loss of
    REINFORCE, RLOO and GRPO. With clip=None it is −A ρ: the unclipped surrogate of off-policy REINFORCE.

    Args: logp: log π, with gradient. old_logp: log π_old, of the policy that the advantages were estimated for. clip: (low,
        high); a higher ``high`` leaves unlikely tokens room to grow.
    Source: Schulman et al. 2017, arXiv 1707.06347, eq. 7; two bounds: Yu et al. 2025, arXiv 2503.14476.
    """
    plain, clipped = _surrogates(logp, old_logp, advantages, mask, clip)
    return torch.maximum(plain, clipped)


@torch.no_grad()
def clipped(
    logp: Tensor, old_logp: Tensor, advantages: Tensor, mask: Tensor, clip: tuple[float, float] | None = (0.2, 0.2)
) -> Tensor:
    """True where the clip decides the loss and so stops the gradient; its share of the mask is PPO's clip fraction."""
    plain, bounded = _surrogates(logp, old_logp, advantages, mask, clip)
    return bounded > plain


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float | None = 0.2) -> Tensor:
    """½ max((V − R)², (clip(V, V_old − c, V_old + c) − R)²), or ½ (V − R)² with clip=None.

    Args: values: V, with gradient. old_values: V_old, the values that the returns R were computed with.
    Source: Ziegler et al. 2019, arXiv 1909.08593, code lm_human_preferences/train_policy.py.
    """
    values, old_values, returns = (x.float().masked_fill(~mask, 0.0) for x in (values, old_values, returns))
    plain = (values - returns) ** 2
    if clip is None:
        return 0.5 * plain
    return 0.5 * torch.maximum(plain, (values.clamp(old_values - clip, old_values + clip) - returns) ** 2)


def _surrogates(
    logp: Tensor, old_logp: Tensor, advantages: Tensor, mask: Tensor, clip: tuple[float, float] | None
) -> tuple[Tensor, Tensor]:
    """−A ρ and −A clip(ρ), [B, T] each."""
    advantages = advantages.float().masked_fill(~mask, 0.0)
    ratio = (logp.float() - old_logp.float()).masked_fill(~mask, 0.0).clamp(max=LARGEST_LOG_RATIO).exp()
    bounded = ratio if clip is None else ratio.clamp(1.0 - clip[0], 1.0 + clip[1])
    return -advantages * ratio, -advantages * bounded
