"""Ratings from comparisons, with intervals: which model is better, by how much, and how surely."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlaif.critic.strengths import bradley_terry, laplacian, sigmoid
from rlaif.data.records import PreferenceRecord
from rlaif.evaluate.intervals import expanded, resampled, student

SCALE = 400 / math.log(10)
"""Rating points per unit of natural-log odds: 400 points are odds of ten to one."""
CENTRE = 1000.0
_RIDGE = 1e-6
_CHUNK = 1024
"""Source rows of which the information is held at once."""

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
    points = [CENTRE + SCALE * bound for bound in intervals(data, bootstrap, seed)]
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


def intervals(data: Comparisons, bootstrap: int = 0, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Bradley–Terry strengths [N] in log-odds, mean 0, and the ends of their 95% intervals; see ``ratings``."""
    values = _fit(data, 1.0)
    rows = len(np.unique(data.row))
    if bootstrap:
        draws = np.stack([_fit(data, weight) for weight in resampled(data.row, bootstrap, seed)])
        ends = np.array([expanded(value, drawn, rows)[1:] for value, drawn in zip(values, draws.T, strict=True)])
        return values, ends[:, 0], ends[:, 1]
    half = student(rows) * np.sqrt(np.diag(sandwich(data, values)))
    return values, values - half, values + half


def sandwich(data: Comparisons, values: Floats) -> Floats:
    """(R − 1)/R Σ dᵣdᵣᵀ, dᵣ = (H − Hᵣ)⁻¹ gᵣ, [N, N]: the covariance of Bradley–Terry strengths that holds where the model does
    not quite.

    H is the information and g the gradient, Hᵣ and gᵣ the parts of source row r, whose comparisons depend on each other; dᵣ is
    how far the strengths move without the row, to first order. Plain H⁻¹gᵣ is too small where a row is much of what is known.
    Source: Huber 1967; Chiang et al. 2024 (Chatbot Arena, arXiv 2403.04132) §4; the jackknife's form, Bell and McCaffrey 2002.
    """
    n = len(data.names)
    q = sigmoid(values[data.i] - values[data.j])
    weight, left = q * (1 - q), data.p - q
    # Only differences of strengths are known: 1/n in all places makes H invertible and leaves them as they are.
    whole = laplacian(data.i, data.j, weight, n) + 1 / n + _RIDGE * np.eye(n)
    order = np.argsort(data.row, kind="stable")
    owner = np.unique(data.row[order], return_inverse=True)[1]
    rows = int(owner.max(initial=-1)) + 1
    covariance = np.zeros((n, n))
    for start in range(0, rows, _CHUNK):
        games = order[np.searchsorted(owner, start) : np.searchsorted(owner, start + _CHUNK)]
        own = owner[np.searchsorted(owner, start) : np.searchsorted(owner, start + _CHUNK)] - start
        i, j, many = data.i[games], data.j[games], int(own.max()) + 1
        gradient, information = np.zeros((many, n)), np.zeros((many, n, n))
        for side, other, sign in ((i, j, 1.0), (j, i, -1.0)):
            np.add.at(gradient, (own, side), sign * left[games])
            np.add.at(information, (own, side, side), weight[games])
            np.add.at(information, (own, side, other), -weight[games])
        moved = np.linalg.solve(whole - information, gradient[:, :, None])[:, :, 0]
        covariance += moved.T @ moved
    return covariance * max(0, rows - 1) / max(1, rows)


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


def _fit(data: Comparisons, weight: Floats | float) -> Floats:
    """Strengths with every comparison counted ``weight`` times."""
    return bradley_terry(data.i, data.j, data.p, len(data.names), _RIDGE, weight).values


def table(rated: Sequence[Rating]) -> list[list[str]]:
    """Header and rows of text cells."""
    rows = []
    for rating in rated:
        interval = f"[{rating.low:.0f}, {rating.high:.0f}]"
        rows.append(
            [str(rating.rank), rating.name, f"{rating.rating:.0f}", interval, f"{rating.elo:.0f}", f"{rating.comparisons:,}"]
        )
    return [["rank", "name", "Bradley–Terry", "95%", "Elo", "comparisons"], *rows]
