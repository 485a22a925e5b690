"""What a few labels say of many judged pairs: their mean, helped by what the critic says of the pairs without one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.intervals import NOTHING, Clusters, half_width

Z = 1.959963984540054
FEWEST = 20
"""Labelled pairs below which the normal approximation is no interval."""


def estimate(labelled: NDArray[np.float64], unlabelled: NDArray[np.float64]) -> Interval:
    """The mean of Y over the population that both samples come from, and its 95% interval cut to [0, 1]; Ŷ predicts Y.

    θ = Ȳ + λ (mean of Ŷ over the N unlabelled − mean of Ŷ over the n labelled), with variance
    Var(Y − λ Ŷ) / n + λ² Var(Ŷ) / N, which λ = Cov(Y, Ŷ) / ((1 + n/N) Var(Ŷ)) makes least: a useless Ŷ costs nothing. It holds
    however wrong Ŷ is, where what was labelled was drawn at random.

    Args: labelled: sums [6] over labelled pairs, as ``agreement.moments(ŷ, y)`` gives them. unlabelled: the same over the
        others, of which only those of Ŷ are read.
    Returns: NaN with fewer than ``FEWEST`` labelled pairs, or no others.
    Source: Angelopoulos, Duchi and Zrnic 2023, "PPI++", arXiv 2311.01453, eq. 4 and §6; λ = 1 is arXiv 2301.09633.
    """
    n, predicted, known, square, known_square, product = labelled.tolist()
    others, other_sum, _, other_square, *_ = unlabelled.tolist()
    if n < FEWEST or not others:
        return Interval(math.nan, math.nan, math.nan)
    mean, other_mean = predicted / n, other_sum / others
    spread = max(0.0, (square + other_square) / (n + others) - ((predicted + other_sum) / (n + others)) ** 2)
    together = product / n - mean * known / n
    weight = together / ((1 + n / others) * spread) if spread else 0.0
    own = known_square / n - (known / n) ** 2
    own_predicted = square / n - mean**2
    residual = max(0.0, own - 2 * weight * together + weight**2 * own_predicted)
    variance = residual / n + weight**2 * max(0.0, other_square / others - other_mean**2) / others
    value = known / n + weight * (other_mean - mean)
    reach = Z * math.sqrt(variance)
    return Interval(*(min(1.0, max(0.0, bound)) for bound in (value, value - reach, value + reach)))


def corrected(predicted: NDArray[np.float64], known: NDArray[np.float64], cluster: Clusters) -> Interval:
    """The mean of Y over all N observations, of which n have a label, and its 95% interval cut to [0, 1]; Ŷ predicts Y.

    The same estimate as ``estimate``'s. The interval is the sandwich's with the observations of a cluster, labelled or not,
    taken together. Where all have a label it is their mean.

    Args: predicted: Ŷ, [N]. known: Y, [N], NaN where there is no label. cluster: [N], such as each one's prompt.
    Returns: NaN with fewer than ``FEWEST`` labels.
    """
    labelled = ~np.isnan(known)
    n, others = int(labelled.sum()), int((~labelled).sum())
    if n < FEWEST:
        return NOTHING
    y, own, rest = known[labelled], predicted[labelled], predicted[~labelled]
    spread = float(predicted.var())
    together = float(((y - y.mean()) * (own - own.mean())).mean())
    weight = together / ((1 + n / others) * spread) if others and spread else 0.0
    value = float(y.mean()) + weight * (float(rest.mean() - own.mean()) if others else 0.0)
    residual, influence = y - weight * own, np.zeros(len(known))
    influence[labelled] = (residual - residual.mean()) / n
    influence[~labelled] = weight * (rest - rest.mean()) / others if others else 0.0
    reach = half_width(influence, cluster)
    return Interval(*(min(1.0, max(0.0, bound)) for bound in (value, value - reach, value + reach)))
