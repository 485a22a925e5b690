"""On-policy formulas, one number at a time, as the papers print them. A response is a list; nothing is masked or batched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def advantage(rewards: Sequence[float], values: Sequence[float], gamma: float, lam: float, t: int) -> float:
    """Σ_l (γλ)^l δ_{t+l}, the sum itself (Schulman et al. 2015, eq. 16), not its recursion."""
    following = [*values[1:], 0.0]
    deltas = [r + gamma * after - v for r, v, after in zip(rewards, values, following, strict=True)]
    return sum((gamma * lam) ** k * delta for k, delta in enumerate(deltas[t:]))


def discounted(rewards: Sequence[float], gamma: float, t: int) -> float:
    return sum(gamma**k * reward for k, reward in enumerate(rewards[t:]))


def others_mean(scores: Sequence[float], i: int) -> float:
    others = [score for j, score in enumerate(scores) if j != i]
    return sum(others) / len(others)


def z_score(scores: Sequence[float], i: int, eps: float) -> float:
    mean = Fraction(sum(map(Fraction, scores)), len(scores))
    variance = sum((Fraction(score) - mean) ** 2 for score in scores) / (len(scores) - 1)
    return float(Fraction(scores[i]) - mean) / (math.sqrt(variance) + eps)


def surrogate(ratio: float, advantage: float, low: float, high: float) -> float:
    """PPO's loss by cases, without a clip or a maximum: what moves the ratio further out than allowed is not worth more."""
    if advantage > 0 and ratio > 1 + high:
        return -advantage * (1 + high)
    if advantage < 0 and ratio < 1 - low:
        return -advantage * (1 - low)
    return -advantage * ratio


def squared_error(value: float, old: float, target: float, clip: float) -> float:
    near = old + clip if value > old + clip else old - clip if value < old - clip else value
    worse = max(abs(value - target), abs(near - target))
    return worse**2 / 2
