"""Strengths from comparisons, which may be few, soft and not all of the pairs: Bradley–Terry, and least squares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RIDGE = 1e-3
"""Pull of every strength towards 0: it decides where the comparisons do not (a side that only wins, parts never compared)."""
_MOST_STEPS = 100

Floats = NDArray[np.float64]


class Strengths(NamedTuple):
    """values: [N], natural-log odds, mean 0. information: [N, N], the negative Hessian of the log-likelihood at them."""

    values: Floats
    information: Floats


def bradley_terry(
    i: NDArray[np.int64], j: NDArray[np.int64], p: Floats, n: int, ridge: float = RIDGE, weight: Floats | float = 1.0
) -> Strengths:
    """Maximise Σ w (p log σ(sᵢ − sⱼ) + (1 − p) log σ(sⱼ − sᵢ)) − ridge/2 Σ s² over s.

    i, j: [C] who was compared, in [0, n). p: [C], how far i won: 1, 0, ½ for a tie, or a soft label. weight: w, [C] or one.
    Source: Bradley and Terry 1952; soft labels as fractional wins. Newton's method, its steps bounded.
    """
    s = np.zeros(n)
    for _ in range(_MOST_STEPS):
        q = sigmoid(s[i] - s[j])
        won = weight * (p - q)
        gradient = np.bincount(i, won, n) - np.bincount(j, won, n) - ridge * s
        information = laplacian(i, j, weight * q * (1 - q), n) + ridge * np.eye(n)
        step = np.linalg.solve(information, gradient)
        s += step * min(1.0, 2.0 / max(1e-300, float(np.abs(step).max(initial=0.0))))
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return Strengths(s - s.mean() if n else s, information)


def least_squares(results: Mapping[tuple[int, int], float], n: int, ridge: float = RIDGE) -> Strengths:
    """Minimise Σ (p − ½ − (sᵢ − sⱼ))² + ridge Σ s² over s. results: by pair, the probability that its first is better.

    Of all pairs this orders as the mean p against the others does; of some, it makes up for who was met. An aggregate of
    several sure verdicts grows in about equal steps rather than as log-odds do, and then this ranks better from few pairs
    than Bradley–Terry. values: in units of p. Source: Massey 1997.
    """
    i, j = (np.array([pair[side] for pair in results], dtype=np.int64) for side in (0, 1))
    lead = np.array(list(results.values()), dtype=np.float64) - 0.5
    information = laplacian(i, j, np.ones(len(lead)), n) + ridge * np.eye(n)
    return Strengths(np.linalg.solve(information, np.bincount(i, lead, n) - np.bincount(j, lead, n)), information)


def laplacian(i: NDArray[np.int64], j: NDArray[np.int64], weight: Floats, n: int) -> Floats:
    """Σ weight · (eᵢ − eⱼ)(eᵢ − eⱼ)ᵀ, [N, N]."""
    met = np.bincount(n * i + j, weight, n * n).reshape(n, n)
    met = met + met.T
    total: Floats = np.diag(met.sum(1)) - met
    return total


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + e⁻ˣ), without overflow."""
    result: Floats = 0.5 * (1.0 + np.tanh(0.5 * x))
    return result
