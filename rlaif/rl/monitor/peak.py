"""Has a run passed its best? A test on evaluations of the same prompts, and a guess at where the best was. Pure functions.

Gao et al. 2023 (arXiv 2210.10760): as a policy moves away from its start, the reward it is trained on keeps rising while the
true one rises, peaks and falls. At the peak the curve is flat: that it has been passed can only be told some way behind it.
So the run ends when the fall is certain, and goes back to where the smoothed curve was highest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Fall(NamedTuple):
    """How far the newest evaluations are below the best earlier ones. z: in standard errors, infinite where all prompts fell
    alike. share: of what had been gained until then since the first evaluation."""

    z: float
    share: float


def fall(values: Floats, window: int) -> Fall | None:
    """The mean of the last ``window`` evaluations against the best of the earlier, not overlapping windows of that length.

    Differences are taken prompt by prompt, so that only what differs *within* prompts is noise. A prompt without a value in
    either window is left out.

    Args: values: [T, N], T evaluations of the same N prompts, NaN where there is none.
    Returns: None while there are fewer than 2 · window evaluations, or fewer than 2 prompts to compare.
    """
    if len(values) < 2 * window:
        return None
    means = np.array([_mean(values[end - window : end]) for end in range(window, len(values) + 1)])  # [T − window + 1, N]
    earlier = means[: len(means) - window]
    best = earlier[np.argmax([_level(row) for row in earlier])]
    drops = best - means[-1]
    drops = drops[~np.isnan(drops)]
    if len(drops) < 2:
        return None
    drop, error = drops.mean(), drops.std(ddof=1) / np.sqrt(len(drops))
    z = drop / error if error > 0 else np.inf * np.sign(drop) if drop else 0.0
    gained = _level(best) - _level(values[0])
    return Fall(float(z), float(drop / gained) if gained > 0 else float(np.inf * np.sign(drop) if drop else 0.0))


def smoothed(values: Floats, span: float = 0.6) -> Floats:
    """Local cubic fits [T] to the means over prompts of values [T, N], each weighing its nearest evaluations (a share ``span``
    of all, at least 7) by the tricube of their distance. Source: Cleveland 1979 (LOWESS); of degree 3, because where the rise
    is slower than the fall, quadratics have their peak too early."""
    levels = np.array([_level(row) for row in values])
    n = len(levels)
    if n < 5:
        return levels
    steps, near = np.arange(n), min(n, max(7, int(np.ceil(span * n))))
    fitted = np.empty(n)
    for step in range(n):
        away = np.abs(steps - step)
        weights = np.clip(1 - (away / (np.sort(away)[near - 1] + 1)) ** 3, 0, None) ** 3
        weights[np.isnan(levels)] = 0
        # polyfit squares its weights; the value at x = 0 is the constant term
        fitted[step] = np.polyfit(steps - step, np.nan_to_num(levels), 3, w=np.sqrt(weights))[-1]
    return fitted


def _mean(values: Floats) -> Floats:
    """Mean over evaluations [W, N] of each prompt [N], NaN where it has none."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(known, values, 0.0).sum(0) / known.sum(0)
    return mean


def _level(row: Floats) -> float:
    """Mean over the prompts [N] that have a value."""
    known = row[~np.isnan(row)]
    return float(known.mean()) if len(known) else float("nan")
