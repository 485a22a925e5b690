"""95% intervals where several observations share a prompt, and so are not independent."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from rlaif.evaluate.agreement import Interval, wilson

Floats = NDArray[np.float64]
Clusters = NDArray[np.int64]
Z = 1.959963984540054
NOTHING = Interval(math.nan, math.nan, math.nan)


def share(right: Floats, cluster: Clusters, weight: Floats | None = None) -> Interval:
    """A weighted share, with Wilson's interval on the effective number of observations.

    right: [N], in [0, 1]; mostly 1 or 0. cluster: [N], what each belongs to, such as its prompt. weight: [N]; None: all alike.
    With one observation to a cluster, none of them a fraction, and no weights it is Wilson's interval itself. The effective
    number is p(1 − p) over the variance of the share between clusters, N at most where there are no fractions; without any
    variance, the number of clusters. Source: Korn and Graubard 1998; Wilson's form of it, Dean and Pagano 2015.
    """
    if not len(right):
        return NOTHING
    weight = np.ones(len(right)) if weight is None else weight
    value = float(weight @ right / weight.sum())
    owner, clusters = _numbered(cluster)
    apart = float(np.square(np.bincount(owner, weight * (right - value), clusters)).sum() / weight.sum() ** 2)
    spread = value * (1 - value)
    held = np.bincount(owner, weight, clusters)
    number = spread / apart if apart > 0 and spread > 0 else float(weight.sum() ** 2 / (held @ held))
    most = len(right) if np.isin(right, (0.0, 1.0)).all() else math.inf
    if clusters == most:
        return wilson(value * min(number, most), min(number, most))
    if clusters == 1:
        return Interval(value, 0.0, 1.0)
    number = min(number * (clusters - 1) / clusters, most)
    return wilson(value * number, number, student(clusters))


def correlation(x: Floats, y: Floats, cluster: Clusters) -> Interval:
    """Σxy / √(Σx² Σy²) of two differences around 0, [N] each: it does not depend on which of a pair stands first.

    The interval is the delta method's on Fisher's scale, artanh r, with the observations of a cluster taken together.
    NaN where either is 0 throughout.
    """
    scale = math.sqrt(float(x @ x) * float(y @ y))
    if not scale:
        return NOTHING
    value = float(x @ y) / scale
    u, v = x / math.sqrt(float(x @ x)), y / math.sqrt(float(y @ y))
    influence = u * v - value / 2 * (u * u + v * v)
    reach = half_width(influence, cluster)
    if math.isnan(reach) or 1 - value**2 < 1e-12:
        return Interval(value, -1.0, 1.0) if math.isnan(reach) else Interval(value, value, value)
    middle, half = math.atanh(value), reach / (1 - value**2)
    return Interval(value, math.tanh(middle - half), math.tanh(middle + half))


def slope(lead: Floats, cluster: Clusters) -> Interval:
    """β of P(right) = σ(β · lead): 1 where σ(lead) is calibrated, less where it is too sure.

    lead: [N], by how much the response that is known to be better leads, in natural-log odds. The interval is the sandwich's
    with the observations of a cluster taken together. NaN where every lead has one sign: then no β is too large.
    Source: Cox 1958, "Two further applications of a model for binary regression"; 1/β is the temperature of Guo et al. 2017.
    """
    from rlaif.critic.strengths import sigmoid

    if not ((lead > 0).any() and (lead < 0).any()):
        return NOTHING
    beta, scale = 0.0, float(np.abs(lead).mean())
    x = lead / scale
    for _ in range(50):
        q = sigmoid(beta * x)
        step = float(((1 - q) * x).sum() / (q * (1 - q) * x * x).sum())
        beta += max(-2.0, min(2.0, step))
        if abs(step) < 1e-10:
            break
    q = sigmoid(beta * x)
    reach = half_width((1 - q) * x / (q * (1 - q) * x * x).sum(), cluster)
    low, high = (beta - reach, beta + reach) if not math.isnan(reach) else (-math.inf, math.inf)
    return Interval(beta / scale, low / scale, high / scale)


def mean_interval(values: Floats, weights: Floats, clusters: int) -> Interval:
    """The mean of values [N] with its interval, from its means under the rows of ``weights`` [D, N] (see ``resampled``)."""
    return expanded(float(values.mean()), (weights @ values) / weights.sum(1), clusters)


def resampled(cluster: Clusters, draws: int, seed: int) -> Floats:
    """[D, N]: how often each observation's cluster is in each resampling of whole clusters (Efron 1979)."""
    owner, clusters = _numbered(cluster)
    drawn = np.random.default_rng(seed).integers(clusters, size=(draws, clusters))
    drawn += clusters * np.arange(draws)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=draws * clusters).reshape(draws, clusters)
    return counts[:, owner].astype(np.float64)


def expanded(value: float, draws: Floats, clusters: int) -> Interval:
    """The middle of the draws, somewhat more than 95% of them: with n clusters a resampling varies less than a new sample does,
    by √((n − 1) / n), and Student's t is wider than the normal. Source: Hesterberg 2015, The American Statistician 69(4),
    section 4.4 (expanded percentiles)."""
    from scipy.special import ndtr, stdtrit

    free = max(1, clusters - 1)
    tail = 100 * ndtr(stdtrit(free, 0.025) * (1 + 1 / free) ** 0.5)
    low, high = np.percentile(draws, [tail, 100 - tail])
    return Interval(value, float(low), float(high))


def half_width(influence: Floats, cluster: Clusters) -> float:
    """Half the interval of an estimate that is a sum of such influences; NaN with a single cluster."""
    owner, clusters = _numbered(cluster)
    if clusters < 2:
        return math.nan
    total = np.bincount(owner, influence, clusters)
    return student(clusters) * math.sqrt(float(total @ total) * clusters / (clusters - 1))


def student(clusters: int) -> float:
    """The 97.5th percentile of Student's t with so many clusters, less one, degrees of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(max(1, clusters - 1), 0.975))


def _numbered(cluster: Clusters) -> tuple[Clusters, int]:
    """The clusters as 0, 1, …, and how many there are."""
    owner = np.unique(cluster, return_inverse=True)[1]
    return owner, int(owner.max(initial=-1)) + 1
