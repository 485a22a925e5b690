"""What true reward a policy has left as it moves away from its start: the curves of Gao et al. 2023 (arXiv 2210.10760).

d is the square root of the KL divergence from the initial policy, and rewards are measured from the initial policy's. Trained
by reinforcement, R(d) = d (a − b log d); chosen as the best of n samples, R(d) = d (a − b d).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlaif.errors import UsageError

Floats = NDArray[np.float64]
Form = Literal["rl", "bon"]


class Curve(NamedTuple):
    """a, b: the coefficients. start: reward at d = 0. residual: root mean square of what the curve does not explain."""

    form: Form
    a: float
    b: float
    start: float
    residual: float

    def at(self, d: Floats) -> Floats:
        """Reward at each distance d ≥ 0."""
        reward: Floats = self.start + _terms(d, self.form) @ np.array([self.a, self.b])
        return reward

    @property
    def peak(self) -> float:
        """The d of the highest reward: exp(a / b − 1), or a / 2b for the best of n; infinite where the curve does not turn."""
        if self.b <= 0:
            return float("inf")
        if self.form == "bon":
            return max(0.0, self.a / (2 * self.b))
        with np.errstate(over="ignore"):
            return float(np.exp(self.a / self.b - 1))


def fit(d: Floats, reward: Floats, form: Form = "rl", start: float | None = None) -> Curve:
    """Least squares over points (d, reward), [N] each; points with a NaN are left out.

    start: the initial policy's reward, where it is known; otherwise it is a third coefficient. Raises UsageError for fewer
    points than coefficients.
    """
    known = ~(np.isnan(d) | np.isnan(reward))
    x, y = _terms(d[known], form), reward[known]
    columns = x if start is not None else np.column_stack([x, np.ones(len(y))])
    if len(y) < columns.shape[1]:
        raise UsageError(f"{len(y)} points are too few for a curve with {columns.shape[1]} coefficients")
    solution = np.linalg.lstsq(columns, y - (start or 0.0), rcond=None)[0]
    origin = float(solution[2]) if start is None else start
    residual = float(np.sqrt(np.mean((columns @ solution - (y - (start or 0.0))) ** 2)))
    return Curve(form, float(solution[0]), float(solution[1]), origin, residual)


def best_of_n_kl(n: int) -> float:
    """KL from the initial policy of the best of n samples, log n − (n − 1) / n (Stiennon et al. 2020, arXiv 2009.01325)."""
    return float(np.log(n) - (n - 1) / n)


def _terms(d: Floats, form: Form) -> Floats:
    """[N, 2], what a and b are multiplied by. d log d is 0 at 0."""
    second = d**2 if form == "bon" else d * np.log(np.where(d > 0, d, 1.0))
    return np.stack([d, -second], -1)
