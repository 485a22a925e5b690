"""What the update minimises in place of −A log π, once the policy has moved: one loss per token for each idea of how far to
trust the ratio ρ = π / π_old. Pure functions.

Shapes: every tensor is [B, T], and so is every result. ``mask`` is true on the tokens of responses that count; what stands
elsewhere is never read (NaN and infinity included), is 0 in every result and has no gradient. All arithmetic is in float32.
Where π is still π_old, the gradient of each is that of −A log π, summed over a response whose tokens have one advantage.

Args of all: logp: log π, with gradient. old_logp: log π_old, of the policy that the advantages were estimated for. bounds:
(low, high), how far below and above 1 the ratio may be. Returns: the losses, and true where the bound has stopped the gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from rlaif.rl.maths.losses import LARGEST_LOG_RATIO, clipped, policy_loss

Bounds = tuple[float, float]
SAPO = (1.0, 1.05)
"""τ for advantages above and below 0: unlikely tokens are harmed more by the latter."""


def clip(logp: Tensor, old_logp: Tensor, advantages: Tensor, mask: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """max(−A ρ, −A clip(ρ)): PPO's, see ``losses.policy_loss``."""
    return policy_loss(logp, old_logp, advantages, mask, bounds), clipped(logp, old_logp, advantages, mask, bounds)


def gspo(logp: Tensor, old_logp: Tensor, advantages: Tensor, mask: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """max(−A s, −A clip(s)) at each token, with the response's s = exp(mean over its tokens of log ρ).

    Each response counts once where a loss is a mean over sequences (``--normalise sequences``), as in the paper; its bounds are
    3e-4 and 4e-4, since s moves far less than ρ.

    Source: Zheng et al. 2025, arXiv 2507.18071, eq. 5 and 7.
    """
    log_ratio = (logp.float() - old_logp.float()).masked_fill(~mask, 0.0)
    mean = log_ratio.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    mean, none = mean.expand_as(log_ratio), torch.zeros_like(log_ratio)
    return clip(mean, none, advantages, mask, bounds)


def cispo(logp: Tensor, old_logp: Tensor, advantages: Tensor, mask: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """−sg(min(ρ, 1 + high)) A log π: the ratio is a weight without a gradient, so that no token falls silent. low is not used.

    Source: MiniMax 2025, arXiv 2506.13585, eq. 4 and 5; high = 5 in ScaleRL.
    """
    logp, advantages = (x.float().masked_fill(~mask, 0.0) for x in (logp, advantages))
    weight = ratio(logp.detach(), old_logp, mask)
    return -weight.clamp(max=1.0 + bounds[1]) * advantages * logp, (weight > 1.0 + bounds[1]) & mask


def sapo(logp: Tensor, old_logp: Tensor, advantages: Tensor, mask: Tensor, bounds: Bounds) -> tuple[Tensor, Tensor]:
    """−A σ(τ (ρ − 1)) 4 / τ, with τ by the advantage's sign (``SAPO``): the gradient fades away from 1, and is never cut off.

    bounds are not used. Source: arXiv 2511.20347.
    """
    advantages = advantages.float().masked_fill(~mask, 0.0)
    tau = torch.where(advantages > 0, SAPO[0], SAPO[1])
    gate = torch.sigmoid(tau * (ratio(logp, old_logp, mask) - 1.0)) * 4.0 / tau
    return -advantages * gate, torch.zeros_like(mask)


SURROGATES: Mapping[str, Callable[[Tensor, Tensor, Tensor, Tensor, Bounds], tuple[Tensor, Tensor]]] = MappingProxyType(
    {"clip": clip, "gspo": gspo, "cispo": cispo, "sapo": sapo}
)


@torch.no_grad()
def most_uncertain(entropy: Tensor, mask: Tensor, share: float) -> Tensor:
    """True on the ``share`` of all responses' tokens that were drawn from the distributions of highest entropy: where a
    response could have gone another way, and where learning pays. At least one token; ties with the last one are in.

    Args: entropy: of what each token was drawn from. share: in (0, 1].
    Source: Wang et al. 2025, arXiv 2506.01939 (with a share of .2).
    """
    known = entropy.float()[mask]
    kept = max(1, round(share * len(known)))
    return mask & (entropy >= known.topk(kept).values[-1]) if len(known) else mask


def dual_clip(losses: Tensor, advantages: Tensor, mask: Tensor, most: float) -> Tensor:
    """min(loss, −A c) where A < 0: without it, a token that has grown c times likelier and is bad costs without bound.

    Args: losses: of ``clip``. most: c > 1. Source: Ye et al. 2020, arXiv 1912.09729, eq. 4; INTELLECT-2, arXiv 2505.07291.
    """
    advantages = advantages.float().masked_fill(~mask, 0.0)
    return torch.where(advantages < 0, torch.minimum(losses, -advantages * most), losses)


def ratio(logp: Tensor, old_logp: Tensor, mask: Tensor) -> Tensor:
    """ρ, 1 where mask is not set."""
    return (logp.float() - old_logp.float()).masked_fill(~mask, 0.0).clamp(max=LARGEST_LOG_RATIO).exp()
