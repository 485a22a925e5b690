"""How far the policy is from the reference, token by token, and what that costs: KL estimators and their coefficient.

Shapes: ``logp`` and ``ref_logp`` are [B, T], the log-probabilities of the *sampled* tokens under the policy π and the
reference; ``mask`` [B, T] is true on the tokens of responses. What stands elsewhere is never read (NaN and infinity
included) and is 0 in every result. All arithmetic is in float32.

The estimators are of KL(π ‖ ref), for tokens drawn from π. As a penalty in the reward (no gradient) k1 is the usual choice.
As a term of the loss the gradient counts, not the value: k2's is that of the KL itself, k1's is zero on average (it penalises
nothing), and k3's is that of the reverse divergence, which differs as the two policies part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

FORGOTTEN = 10.0
"""Nats by which a token may be less likely than under the reference before ``k3`` lets it go."""


def k1(logp: Tensor, ref_logp: Tensor, mask: Tensor) -> Tensor:
    """log π − log ref: unbiased, but negative on half of the tokens or so.

    Returns: [B, T]. Source: Schulman 2020, "Approximating KL divergence"; the penalty of Ziegler et al. 2019, arXiv 1909.08593.
    """
    return -_log_ratio(logp, ref_logp, mask)


def k2(logp: Tensor, ref_logp: Tensor, mask: Tensor) -> Tensor:
    """½ (log π − log ref)²: biased, never negative. Between the policy and its own past it is PPO's ``approx_kl``.

    Returns: [B, T]. Source: Schulman 2020, "Approximating KL divergence".
    """
    return 0.5 * _log_ratio(logp, ref_logp, mask) ** 2


def k3(logp: Tensor, ref_logp: Tensor, mask: Tensor) -> Tensor:
    """r − 1 − log r, with r = ref / π: unbiased and never negative. log r is held at ``FORGOTTEN``, beyond which there is no
    gradient: one token that the policy has all but forgotten would else decide the step (at 20 nats its gradient is 5e8).

    Returns: [B, T]. Source: Schulman 2020, "Approximating KL divergence"; as GRPO's penalty, Shao et al. 2024, arXiv
        2402.03300, eq. 4.
    """
    log_ratio = _log_ratio(logp, ref_logp, mask)
    log_ratio = log_ratio.clamp(max=FORGOTTEN)
    return torch.expm1(log_ratio) - log_ratio


ESTIMATORS: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = MappingProxyType({"k1": k1, "k2": k2, "k3": k3})


def sequence_kl(kl: Tensor, mask: Tensor) -> Tensor:
    """The sum over a response's tokens: [B, T] to [B]. Its mean over responses is what KL targets and plots are about."""
    return kl.float().masked_fill(~mask, 0.0).sum(-1)


class FixedKL:
    """β as it was given, unless it is raised."""

    def __init__(self, beta: float) -> None:
        self._initial = beta
        self._floor = 0.0
        self._beta = beta

    @property
    def beta(self) -> float:
        """The coefficient from here on."""
        return max(self._beta, self._floor)

    def update(self, kl: float, episodes: int) -> None:
        """Take note of an iteration. kl: its mean ``sequence_kl``. episodes: how many responses it had."""

    def raise_to(self, factor: float) -> None:
        """Until the next call β is at least ``factor`` times what it was at the start."""
        self._floor = factor * self._initial

    def state_dict(self) -> dict[str, float]:
        return {"beta": self._beta, "floor": self._floor}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        self._beta, self._floor = state["beta"], state["floor"]


class AdaptiveKL(FixedKL):
    """β that steers the mean sequence KL to ``target``: β ← β (1 + K e), with e = clip(KL / target − 1, ±.2).

    K is .1, as the paper prints it; or, with ``horizon``, episodes / horizon as its code has it (horizon 10,000: with 512
    responses an iteration K is .0512).

    Source: Ziegler et al. 2019, arXiv 1909.08593, section 2.2 and code lm_human_preferences/train_policy.py.
    """

    def __init__(self, beta: float, target: float, horizon: float | None = None) -> None:
        super().__init__(beta)
        self._target = target
        self._horizon = horizon

    def update(self, kl: float, episodes: int) -> None:
        """Raises ValueError for a KL that is not a number: it would be one for good."""
        if not math.isfinite(kl):
            raise ValueError(f"a KL of {kl} cannot steer its coefficient")
        error = min(max(kl / self._target - 1.0, -0.2), 0.2)
        gain = 0.1 if self._horizon is None else episodes / self._horizon
        self._beta *= 1.0 + gain * error


def _log_ratio(logp: Tensor, ref_logp: Tensor, mask: Tensor) -> Tensor:
    """log r = log ref − log π, [B, T]; masked here, before anything can overflow, so that gradients stay finite too."""
    return (ref_logp.float() - logp.float()).masked_fill(~mask, 0.0)
