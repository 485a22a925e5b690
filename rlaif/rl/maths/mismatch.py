"""What a token is worth to the trainer when another program, or an older policy, has drawn it. Pure functions.

With w = π_trainer / π_sampler per token, a weight multiplies the token's policy loss and carries no gradient.

Shapes: ``trainer_logp`` and ``sampler_logp`` are [B, T], log-probabilities of the same tokens under the policy that the update
starts from, by the trainer's arithmetic and by the sampler's; ``mask`` [B, T] is true on the tokens of responses. What stands
elsewhere is never read and has weight 0. Every result is [B, T], in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rlaif.rl.maths.losses import LARGEST_LOG_RATIO


@torch.no_grad()
def truncated(trainer_logp: Tensor, sampler_logp: Tensor, mask: Tensor, cap: float = 2.0) -> Tensor:
    """min(w, cap). cap: ≥ 1; bounds the variance, at the price of some bias.

    Source: Espeholt et al. 2018, arXiv 1802.01561 (ρ̄ of V-trace); between sampler and trainer: Yao et al. 2025, "Your efficient
        RL framework secretly brings you off-policy RL training".
    """
    return _log_ratio(trainer_logp, sampler_logp, mask).exp().clamp(max=cap).masked_fill(~mask, 0.0)


@torch.no_grad()
def masked(trainer_logp: Tensor, sampler_logp: Tensor, mask: Tensor, floor: float = 0.5, cap: float = 5.0) -> Tensor:
    """w where floor ≤ w ≤ cap, else 0: a token that the two do not agree on teaches nothing.

    Source: arXiv 2510.18855 (IcePop).
    """
    weights = _log_ratio(trainer_logp, sampler_logp, mask).exp()
    return weights.masked_fill(~mask | (weights < floor) | (weights > cap), 0.0)


@torch.no_grad()
def sequence_truncated(trainer_logp: Tensor, sampler_logp: Tensor, mask: Tensor, cap: float = 3.0) -> Tensor:
    """min(W, cap), W = Π w over the response, at each of its tokens: the response's own weight, bounded.

    Source: TRL's ``sequence_truncate``; of the token's weight, ``truncated``.
    """
    return _product(trainer_logp, sampler_logp, mask).clamp(max=cap) * mask


@torch.no_grad()
def sequence_masked(trainer_logp: Tensor, sampler_logp: Tensor, mask: Tensor, cap: float = 3.0) -> Tensor:
    """W = Π w over the response, at each of its tokens, where W ≤ cap, else 0.

    Source: arXiv 2512.23075; TRL's ``sequence_mask``, with cap 3.
    """
    whole = _product(trainer_logp, sampler_logp, mask)
    return whole.masked_fill(whole > cap, 0.0) * mask


@torch.no_grad()
def within_band(trainer_logp: Tensor, sampler_logp: Tensor, mask: Tensor, low: float, high: float) -> Tensor:
    """1 on the responses whose geometric mean of w, exp(mean log w), is in [low, high], else 0: unlike the product it does not
    drift with a response's length.

    Source: arXiv 2512.23075; verl, rollout correction.
    """
    mean = _log_ratio(trainer_logp, sampler_logp, mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    return ((mean.exp() >= low) & (mean.exp() <= high)) * mask.float()


@torch.no_grad()
def not_left_behind(logp: Tensor, sampler_logp: Tensor, advantages: Tensor, mask: Tensor, most: float) -> Tensor:
    """0 on the responses with a negative advantage from which the policy has moved away: mean log (π_sampler / π) > most, in
    nats per token; 1 on the others. Pushing down what the policy no longer says is noise.

    Args: logp: of the policy as it is now. advantages: [B, T], the sign of each response's mean counts. most: δ > 0.
    Source: DeepSeek-AI 2025, arXiv 2512.02556 (off-policy sequence masking).
    """
    many = mask.sum(-1, keepdim=True).clamp(min=1)
    apart = -_log_ratio(logp.detach(), sampler_logp, mask).sum(-1, keepdim=True) / many
    worse = advantages.float().masked_fill(~mask, 0.0).sum(-1, keepdim=True) < 0
    return (~(worse & (apart > most))) * mask.float()


def _product(trainer_logp: Tensor, sampler_logp: Tensor, mask: Tensor) -> Tensor:
    """Π w of each response, [B, 1]."""
    return _log_ratio(trainer_logp, sampler_logp, mask).sum(-1, keepdim=True).clamp(max=LARGEST_LOG_RATIO).exp()


def _log_ratio(logp: Tensor, sampler_logp: Tensor, mask: Tensor) -> Tensor:
    difference = (logp.float() - sampler_logp.float()).masked_fill(~mask, 0.0)
    return difference.clamp(max=LARGEST_LOG_RATIO)
