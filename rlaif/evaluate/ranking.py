"""Ratings from comparisons, with intervals: which model is better, by how much, and how surely."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlaif.critic.strengths import bradley_terry, laplacian, sigmoid
from rlaif.data.records import PreferenceRecord

SCALE = 400 / math.log(10)
"""Rating points per unit of natural-log odds: 400 points are odds of ten to one."""
CENTRE = 1000.0
Z = 1.959963984540054
_RIDGE = 1e-6

Floats = NDArray[np.float64]


class Comparisons(NamedTuple):
    """names: [N] who was compared. i, j: [C] two of them. p: [C] how far i won. row: [C] the source row of the comparison."""

    names: list[str]
    i: NDArray[np.int64]
    j: NDArray[np.int64]
    p: Floats
    row: NDArray[np.int64]


class Rating(NamedTuple):
    """rating, low, high: Bradley–Terry on the Elo scale with its 95% interval. elo: sequential Elo. rank: 1 + how many are
    surely better, those whose low is above this one's high. comparisons: how many it was in."""

    name: str
    rating: float
    low: float
    high: float
    elo: float
    rank: int
    comparisons: int


def comparisons(records: Iterable[PreferenceRecord], column: str = "model") -> Comparisons:
    """Preference records as comparisons of what ``chosen_COLUMN`` and ``rejected_COLUMN`` name.

    Records without both, or that compare one with itself, are left out.
    """
    numbers: dict[str, int] = {}
    games = []
    for record in records:
        sides = [record.extra.get(f"{side}_{column}") for side in ("chosen", "rejected")]
        if None not in sides and sides[0] != sides[1]:
            first, second = (numbers.setdefault(str(side), len(numbers)) for side in sides)
            games.append((first, second, record.p_chosen, record.row))
    columns = np.array(games, dtype=np.float64).reshape(-1, 4).T
    i, j, row = (columns[part].astype(np.int64) for part in (0, 1, 3))
    return Comparisons(list(numbers), i, j, columns[2], row)


def ratings(data: Comparisons, bootstrap: int = 0, seed: int = 0) -> list[Rating]:
    """Best first. bootstrap: rounds of resampling source rows for the intervals; 0 takes the sandwich covariance instead."""
    values = _fit(data, np.ones(len(data.p)))
    if bootstrap:
        draws = np.stack([_fit(data, weight) for weight in _resampled(data.row, bootstrap, seed)])
        low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    else:
        half = Z * np.sqrt(np.diag(sandwich(data, values)))
        low, high = values - half, values + half
    points = [CENTRE + SCALE * bound for bound in (values, low, high)]
    played = np.bincount(np.concatenate([data.i, data.j]), minlength=len(data.names))
    chances = elo(data, seed=seed)
    rated = [
        Rating(
            name=name,
            rating=float(points[0][index]),
            low=float(points[1][index]),
            high=float(points[2][index]),
            elo=float(chances[index]),
            rank=1 + int((points[1] > points[2][index]).sum()),
            comparisons=int(played[index]),
        )
        for index, name in enumerate(data.names)
    ]
    return sorted(rated, key=lambda rating: -rating.rating)


def sandwich(data: Comparisons, values: Floats) -> Floats:
    """H⁻¹ G H⁻¹, [N, N]: the covariance of Bradley–Terry strengths that holds where the model does not quite.

    H is the information, G = Σ gₜgₜᵀ with one gₜ per source row, whose comparisons depend on each other.
    Source: Huber 1967; Chiang et al. 2024 (Chatbot Arena, arXiv 2403.04132) §4.
    """
    n = len(data.names)
    q = sigmoid(values[data.i] - values[data.j])
    inverse = np.linalg.pinv(laplacian(data.i, data.j, q * (1 - q), n), rcond=1e-10, hermitian=True)
    scores = np.zeros((len(data.p), n))
    game = np.arange(len(data.p))
    np.add.at(scores, (game, data.i), data.p - q)
    np.add.at(scores, (game, data.j), q - data.p)
    _, owner = np.unique(data.row, return_inverse=True)
    by_row = np.zeros((int(owner.max(initial=-1)) + 1, n))
    np.add.at(by_row, owner, scores)
    covariance: Floats = inverse @ (by_row.T @ by_row) @ inverse
    return covariance


def elo(data: Comparisons, k: float = 4.0, orders: int = 20, seed: int = 0) -> Floats:
    """Elo ratings after all comparisons, [N]: R += k (p − 1/(1 + 10^((R_j − R_i)/400))), all beginning at 1000.

    Elo depends on the order of the games; this is the mean over ``orders`` random ones. k as in FastChat's rating systems.
    """
    draw = np.random.default_rng(seed)
    total = np.zeros(len(data.names))
    i, j, p = data.i.tolist(), data.j.tolist(), data.p.tolist()
    for _ in range(orders):
        rating = [CENTRE] * len(data.names)
        for game in draw.permutation(len(p)).tolist():
            gained = k * (p[game] - 1 / (1 + 10 ** ((rating[j[game]] - rating[i[game]]) / 400)))
            rating[i[game]] += gained
            rating[j[game]] -= gained
        total += rating
    return total / orders


def _fit(data: Comparisons, weight: Floats) -> Floats:
    """Strengths with every comparison counted ``weight`` times (a whole number)."""
    times = weight.astype(np.int64)
    i, j = (np.repeat(column, times) for column in (data.i, data.j))
    return bradley_terry(i, j, np.repeat(data.p, times), len(data.names), _RIDGE).values


def _resampled(row: NDArray[np.int64], rounds: int, seed: int) -> Iterable[Floats]:
    """How often each comparison is drawn when source rows are drawn with replacement."""
    draw = np.random.default_rng(seed)
    rows, owner = np.unique(row, return_inverse=True)
    for _ in range(rounds):
        yield draw.multinomial(len(rows), np.full(len(rows), 1 / len(rows)))[owner].astype(np.float64)


def table(rated: Sequence[Rating]) -> list[list[str]]:
    """Header and rows of text cells."""
    rows = []
    for rating in rated:
        interval = f"[{rating.low:.0f}, {rating.high:.0f}]"
        rows.append(
            [str(rating.rank), rating.name, f"{rating.rating:.0f}", interval, f"{rating.elo:.0f}", f"{rating.comparisons:,}"]
        )
    return [["rank", "name", "Bradley–Terry", "95%", "Elo", "comparisons"], *rows]
