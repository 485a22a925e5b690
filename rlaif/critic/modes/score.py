"""Pointwise score: the expected label of a scale, and what two scores say about which response is better."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rlaif.critic.modes.compare import sure
from rlaif.critic.verdict import MIN_MASS, Failure, Score
from rlaif.engines.base import Choice


def score(answer: Choice | Failure, min_mass: float = MIN_MASS) -> Score | Failure:
    """Σ i·P(i) over the scale's labels i = 1…n, mapped to [-1, 1] by (s − (n+1)/2) / ((n−1)/2) (Lee et al. 2023, d-RLAIF)."""
    checked = sure(answer, min_mass)
    if isinstance(checked, Failure):
        return checked
    highest = max(checked.logprobs)
    weights = [math.exp(value - highest) for value in checked.logprobs]
    distribution = tuple(weight / sum(weights) for weight in weights)
    n = len(distribution)
    expected = sum(label * p for label, p in enumerate(distribution, 1))
    return Score((expected - (n + 1) / 2) / ((n - 1) / 2), distribution, checked.mass, (checked.raw,), checked.cut_tokens)


def p_better(first: Sequence[float], second: Sequence[float]) -> float:
    """P(first's label > second's) + ½ P(equal), for independent draws from the two label distributions ([n] each)."""
    below = [sum(second[:label]) for label in range(len(second))]
    return sum(p * (lower + q / 2) for p, lower, q in zip(first, below, second, strict=True))
