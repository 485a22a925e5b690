"""Running mean and variance, for rewards on a stable scale."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor


class RunningMoments:
    """Mean and population variance of all valid values so far. In double precision: a run sees millions of them.

    Source: Chan, Golub and LeVeque 1979, the parallel form, which makes the order and the batching immaterial.
    """

    def __init__(self, count: float = 0, mean: float = 0.0, squares: float = 0.0) -> None:
        """squares: the sum of squared distances from the mean."""
        self._count = count
        self._mean = mean
        self._squares = squares

    @property
    def count(self) -> float:
        return self._count

    @property
    def mean(self) -> float:
        """0 before the first value."""
        return self._mean

    @property
    def std(self) -> float:
        """0 before the second value."""
        return math.sqrt(self._squares / self._count) if self._count else 0.0

    def update(self, x: Tensor, valid: Tensor) -> None:
        """x, valid: the same shape, any; what is not valid is not read."""
        seen = x[valid].double()
        if len(seen):
            mean = seen.mean()
            self.merge(RunningMoments(len(seen), mean.item(), ((seen - mean) ** 2).sum().item()))

    def merge(self, other: RunningMoments) -> None:
        """As if the values that ``other`` has seen had been seen here."""
        if not other._count:
            return
        count = self._count + other._count
        apart = other._mean - self._mean
        self._squares += other._squares + apart**2 * self._count * other._count / count
        self._mean += apart * other._count / count
        self._count = count

    def normalise(self, x: Tensor, eps: float = 1e-8) -> Tensor:
        """(x − mean) / (std + ε), in float32; the shape of x. What is NaN stays NaN."""
        return (x.float() - self._mean) / (self.std + eps)

    def state_dict(self) -> dict[str, float]:
        return {"count": self._count, "mean": self._mean, "squares": self._squares}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, float]) -> RunningMoments:
        return cls(**state)
