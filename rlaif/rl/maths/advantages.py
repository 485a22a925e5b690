"""Advantages: how much better an action was than expected, by each method's own idea of what to expect. Pure functions.

Shapes: [B, T] per token, [B] per sample. ``mask`` [B, T] is true on the tokens of responses; what stands elsewhere is never
read (NaN and infinity included) and is 0 in every result. ``valid`` [B] is true where a sample has a reward; the others are
missing data: out of every mean, with advantage 0. In [B, T] functions a missing sample is a row without mask
(``mask & valid[:, None]``). All arithmetic is in float32, and nothing here carries a gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimation. Over the tokens of a response, in order:

    δ_t = r_t + γ V_{t+1} − V_t,  A_t = δ_t + γ λ A_{t+1},  return_t = A_t + V_t

    V and A are 0 after the last token: a response that was cut by the length limit counts as ended, as in the papers.

    Args: rewards, values: [B, T]; the value at t is that of the state *before* token t. mask: [B, T].
    Returns: advantages and returns, [B, T] each.
    Source: Schulman et al. 2015, arXiv 1506.02438, eq. 16; γ = 1, λ = .95 in Ziegler et al. 2019, arXiv 1909.08593.
    """
    rewards, values = (x.float().masked_fill(~mask, 0.0) for x in (rewards, values))
    advantages = torch.zeros_like(rewards)
    advantage = next_value = rewards.new_zeros(rewards.shape[0])
    for t in reversed(range(rewards.shape[1])):
        step = rewards[:, t] + gamma * next_value - values[:, t] + gamma * lam * advantage
        advantage = torch.where(mask[:, t], step, advantage)
        next_value = torch.where(mask[:, t], values[:, t], next_value)
        advantages[:, t] = advantage
    advantages = advantages.masked_fill(~mask, 0.0)
    return advantages, advantages + values


def rewards_to_go(rewards: Tensor, mask: Tensor, gamma: float = 1.0) -> Tensor:
    """Z_t = Σ_{k ≥ t} γ^{k−t} r_k over the tokens of a response.

    The advantage of REINFORCE with a learned baseline is Z_t − V_t, and (Z_t − V_t)² the baseline's loss.

    Args: rewards, mask: [B, T]. Returns: [B, T].
    Source: Williams 1992; with γ = 1 as in direct RLAIF, Lee et al. 2023, arXiv 2309.00267.
    """
    return gae(rewards, torch.zeros_like(rewards), mask, gamma, lam=1.0)[0]


@torch.no_grad()
def leave_one_out(scores: Tensor, groups: Tensor, valid: Tensor) -> Tensor:
    """A_i = r_i − the mean reward of the *other* valid samples of the same prompt (RLOO).

    A sample without another has advantage 0 for want of a baseline; ``comparable`` says which, so that the loop can leave
    them out of its count of tokens too.

    Args: scores: rewards [B], the KL penalty included. groups: [B], the prompt that each sample belongs to. valid: [B].
    Returns: [B].
    Source: Ahmadian et al. 2024, arXiv 2402.14740; Kool et al. 2019.
    """
    deviation, many = _deviation(scores, groups, valid)
    # r − (S − r) / (n − 1) = (r − S / n) n / (n − 1), and the right side loses no digits where rewards share a large offset.
    return deviation * many / (many - 1).clamp(min=1.0)


@torch.no_grad()
def group_normalised(scores: Tensor, groups: Tensor, valid: Tensor, std: bool = True, eps: float = 1e-4) -> Tensor:
    """A_i = (r_i − mean) / (standard deviation + ε) within the valid samples of the same prompt (GRPO).

    The deviation is the sample's, with n − 1. Without ``std``, A_i = r_i − mean: Dr. GRPO, (n − 1) / n of RLOO.

    Args: scores, groups, valid: [B], as in ``leave_one_out``. Returns: [B].
    Source: Shao et al. 2024, arXiv 2402.03300, section 4.1.2; without std: Liu et al. 2025, arXiv 2503.20783.
    """
    deviation, many = _deviation(scores, groups, valid)
    if not std:
        return deviation
    squares, _ = _group_sums(deviation**2, groups, valid)
    return deviation / ((squares / (many - 1).clamp(min=1.0)).sqrt() + eps)


@torch.no_grad()
def batch_normalised(scores: Tensor, groups: Tensor, valid: Tensor, eps: float = 1e-4) -> Tensor:
    """A_i = (r_i − mean of its prompt's samples) / (standard deviation of all valid rewards + ε), with n − 1 in the variance.

    Unlike the group's own deviation, that of the batch does not magnify prompts whose samples differ by next to nothing.

    Args: scores, groups, valid: [B], as in ``leave_one_out``. Returns: [B].
    Source: Liu et al. 2025, arXiv 2508.08221 (Lite PPO).
    """
    deviation, _ = _deviation(scores, groups, valid)
    known = scores.float()[valid]
    return deviation / (known.std(correction=1 if len(known) > 1 else 0) + eps) if len(known) else deviation


@torch.no_grad()
def length_weighted(scores: Tensor, lengths: Tensor, groups: Tensor, valid: Tensor) -> Tensor:
    """A_i = r_i − Σ_j |o_j| r_j / Σ_j |o_j| over the valid samples of the same prompt: the baseline of least variance, where
    the squared norm of a response's gradient grows with its length.

    Args: lengths: [B], tokens of the responses, above 0. scores, groups, valid: [B], as in ``leave_one_out``. Returns: [B].
    Source: Hao et al. 2025, arXiv 2505.23585 (OPO).
    """
    # Taken from the mean first: rewards that share a large offset lose no digits.
    deviation, _ = _deviation(scores, groups, valid)
    weighted, _ = _group_sums(deviation * lengths, groups, valid)
    tokens, _ = _group_sums(lengths, groups, valid)
    return (deviation - weighted / tokens.clamp(min=1.0)).masked_fill(~valid, 0.0)


@torch.no_grad()
def over_mean(scores: Tensor, groups: Tensor, valid: Tensor, eps: float = 1e-6) -> Tensor:
    """A_i = (r_i − mean) / (mean + ε) within the valid samples of the same prompt: for rewards of 0 and 1, the gradient of the
    log-probability that a sample is right, which makes much of prompts that are rarely solved.

    Args: scores: [B], at least 0 where valid; a prompt whose mean is not above 0 teaches nothing. groups, valid: [B].
    Returns: [B]. Source: arXiv 2602.02710 (MaxRL).
    """
    deviation, many = _deviation(scores, groups, valid)
    total, _ = _group_sums(scores, groups, valid)
    mean = total / many.clamp(min=1.0)
    return torch.where(mean > 0, deviation / (mean.clamp(min=0.0) + eps), 0.0)


def everything(scores: Tensor) -> Tensor:
    """``valid`` where no score is missing: true [B]."""
    return torch.ones_like(scores, dtype=torch.bool)


def comparable(groups: Tensor, valid: Tensor) -> Tensor:
    """True [B] for the valid samples whose prompt has another valid sample: those with an advantage within their group."""
    _, many = _group_sums(torch.zeros_like(groups, dtype=torch.float32), groups, valid)
    return valid & (many > 1)


@torch.no_grad()
def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True, eps: float = 1e-8) -> Tensor:
    """(x − mean) / sqrt(var + ε), and + mean again without ``shift_mean``; mean and population variance where mask is set.

    The original code keeps the mean of rewards (shift_mean=False) and removes that of advantages (shift_mean=True).

    Args: x, mask: the same shape, any. Returns: that shape, 0 where mask is not set.
    Source: Ziegler et al. 2019, arXiv 1909.08593, code lm_human_preferences/utils/core.py.
    """
    x = x.float().masked_fill(~mask, 0.0)
    many = mask.sum().clamp(min=1)
    mean = x.sum() / many
    deviation = (x - mean).masked_fill(~mask, 0.0)
    whitened = deviation * torch.rsqrt((deviation**2).sum() / many + eps)
    return whitened if shift_mean else (whitened + mean).masked_fill(~mask, 0.0)


def _deviation(scores: Tensor, groups: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Each sample's distance from the mean of its group's valid samples (0 where it is not one), and their number; [B]."""
    total, many = _group_sums(scores, groups, valid)
    return (scores.float() - total / many.clamp(min=1.0)).masked_fill(~valid, 0.0), many


def _group_sums(x: Tensor, groups: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """For each sample, the sum of x over its group's valid samples and their number; [B] each."""
    names, index = torch.unique(groups, return_inverse=True)
    sums, counts = x.new_zeros(2, len(names), dtype=torch.float32)
    sums.index_add_(0, index, x.float().masked_fill(~valid, 0.0))
    counts.index_add_(0, index, valid.float())
    return sums[index], counts[index]
