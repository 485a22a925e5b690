"""Which comparison to ask for next: the one that tells most about the ratings."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from rlaif.critic.strengths import Strengths, sigmoid

Pair = tuple[int, int]
PRIOR = 0.05
"""Pull of the strengths towards 0 while pairs are chosen: a standard deviation of some 4.5 in log-odds, or 780 Elo points."""


def most_informative(strengths: Strengths, number: int, left: Mapping[Pair, int]) -> list[Pair]:
    """The next ``number`` comparisons, fewer where no more are left.

    Each is the pair (i, j) that adds most to log det of the information, log(1 + q (1 − q) Var(sᵢ − sⱼ)) with q = σ(sᵢ − sⱼ):
    those that are close in strength and whose difference is least known. After each choice the covariance is what it will be
    when it is answered, so that a round does not ask for the same thing over and over.

    strengths: so far, with the information that they are known by (positive definite). left: how many comparisons of each
        pair i < j can still be asked for.
    Source: Bayesian D-optimal design for Bradley–Terry, Glickman and Jensen 2005, J. Statist. Plann. Inference 127.
    """
    values, n = strengths.values, len(strengths.values)
    covariance = np.linalg.inv(strengths.information)
    q = sigmoid(values[:, None] - values[None, :])
    weight = q * (1 - q)
    open_ = np.zeros((n, n))
    for (i, j), many in left.items():
        open_[i, j] = many
    chosen: list[Pair] = []
    every = list(itertools.combinations(range(n), 2))
    first, second = (np.array([pair[side] for pair in every], dtype=np.int64) for side in (0, 1))
    while len(chosen) < number:
        own = np.diag(covariance)
        apart = own[first] + own[second] - 2 * covariance[first, second]
        gain = np.where(open_[first, second] > 0, weight[first, second] * apart, -1.0)
        best = int(np.argmax(np.round(gain, 9)))
        if gain[best] < 0:
            break
        i, j = every[best]
        open_[i, j] -= 1
        chosen.append((i, j))
        difference = covariance[:, i] - covariance[:, j]
        covariance = covariance - np.outer(difference, difference) * weight[i, j] / (1 + weight[i, j] * apart[best])
    return chosen
