"""From one score per response to one reward per token, and what becomes of responses that do not end. Pure functions.

Shapes: [B] per response, [B, T] per token; ``mask`` [B, T] is true on the tokens of responses. All arithmetic is in float32.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor


def missing_eos(scores: Tensor, ended: Tensor, penalty: float, how: Literal["replace", "subtract"] = "replace") -> Tensor:
    """The score of a response that did not end by itself: −penalty in its place, or less by the penalty.

    A missing score (NaN) stays missing.

    Args: scores: [B]. ended: [B]. penalty: ≥ 0. how: ``replace`` as in the papers' code, ``subtract`` as in TRL's.
    Returns: [B].
    Source: replaced: Ziegler et al. 2019, arXiv 1909.08593, and Huang et al. 2024, arXiv 2403.17031 (the EOS trick), both by
        −1; subtracted: TRL, ``missing_eos_penalty``.
    """
    scores = scores.float()
    penalised = scores - penalty if how == "subtract" else torch.full_like(scores, -penalty)
    return torch.where(ended | scores.isnan(), scores, penalised)


def soft_overlong(lengths: Tensor, longest: int, cache: int) -> Tensor:
    """What a response's reward is changed by for its length: 0 up to L − c tokens, from there in a line to −1 at L.

    Args: lengths: [B], tokens. longest: L, the most that a response may have. cache: c, from 1 to L. Returns: [B], −1 to 0.
    Source: Yu et al. 2025, arXiv 2503.14476, eq. 13 (DAPO).
    """
    return ((longest - cache - lengths.float()) / cache).clamp(-1.0, 0.0)


def group_lengths(lengths: Tensor, groups: Tensor) -> Tensor:
    """What a response's length is worth among the samples of its prompt, 0 on average: w_i less the mean of w, with
    w_i = 1 − (|o_i| − shortest) / (longest − shortest). 0 where all are of one length.

    Args: lengths: [B], tokens. groups: [B], the prompt that each sample belongs to. Returns: [B], −1 to 1.
    Source: NVIDIA NeMo Gym, genrm_compare, ``_compute_length_weights``.
    """
    names, index = torch.unique(groups, return_inverse=True)
    lengths = lengths.float()
    least, most = (
        lengths.new_zeros(len(names)).scatter_reduce(0, index, lengths, how, include_self=False) for how in ("amin", "amax")
    )
    weights = 1.0 - (lengths - least[index]) / (most - least)[index].clamp(min=1.0)
    means = weights.new_zeros(len(names)).scatter_reduce(0, index, weights, "mean", include_self=False)
    return weights - means[index]


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, beta: float) -> Tensor:
    """r_t = −β kl_t, and + the score at the last token of the response: its end-of-sequence token, where it has one.

    Args: scores: [B]. kl: [B, T], an estimate per token (``kl.k1``). mask: [B, T]; the row of a missing score has none.
    Returns: [B, T], 0 where mask is not set, whatever stands there.
    Source: Ziegler et al. 2019, arXiv 1909.08593, eq. 2 and code.
    """
    rewards = (-beta * kl.float()).masked_fill(~mask, 0.0)
    last = mask & (mask.flip(-1).cumsum(-1).flip(-1) == 1)
    return rewards + torch.where(last, scores.float()[:, None], 0.0)


def truncate_at(ids: Tensor, mask: Tensor, token: int, after: int = 16) -> tuple[Tensor, Tensor]:
    """Cut responses behind the first ``token`` at position ``after`` or later.

    A response without one is kept whole, and counts as not ended: ``missing_eos`` then gives it the penalty.

    Args: ids, mask: [B, T], of responses that begin at position 0. token: an id, such as that of a full stop.
    Returns: the mask that is left, with the token itself [B, T], and which responses have it [B].
    Source: Ziegler et al. 2019, arXiv 1909.08593, section 3.1 (between tokens 16 and 24, else −1) and code.
    """
    ends_here = mask & (ids == token)
    ends_here[:, :after] = False
    before = ends_here.cumsum(-1) - ends_here.long()
    return mask & (before == 0), ends_here.any(-1)
