"""How often one model's responses are preferred to another's, with intervals, and with the effect of length taken out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlaif.critic.strengths import sigmoid
from rlaif.data.records import OVERALL, PreferenceRecord
from rlaif.data.rows import Turn
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.intervals import NOTHING, expanded, mean_interval, resampled
from rlaif.evaluate.prediction_powered import corrected

DRAWS = 2000
"""Resamplings of the prompts for an interval."""
RIDGE = 0.01
"""Penalty on the weight of length, in pairs: with few pairs, or length that decides every one, it keeps the fit finite."""
STEPS, CLOSE = 25, 1e-9
"""Newton steps of the logistic fit at most, and the step at which it has converged; about six are needed."""

Floats = NDArray[np.float64]


class Games(NamedTuple):
    """Comparisons of A with B. p: [N], the probability that A's response is better. longer: [N], by how many characters A's is
    longer. prompt: [N], numbers of the prompts. known: [N], 1 where a label says that A's is better, ½ for a tie, 0 for B's,
    NaN without one."""

    p: Floats
    longer: Floats
    prompt: NDArray[np.int64]
    known: Floats


class WinRate(NamedTuple):
    """share: mean of p. wins, ties, losses: comparisons with p above, at and below ½. controlled: the share where both
    responses are of one length. prompts: how many there are. labelled: comparisons with a label, and corrected: the rate that
    these would give over all (``prediction_powered.corrected``), NaN where they are too few."""

    name: str
    share: Interval
    controlled: Interval
    wins: int
    ties: int
    losses: int
    prompts: int
    labelled: int = 0
    corrected: Interval = NOTHING


def games(records: Iterable[PreferenceRecord]) -> dict[str, Games]:
    """By principle, and ``overall``: what label records say of responses 0 (A's) and 1 (B's) of each row.

    A principle without a verdict on a pair has no game there.
    """
    played: dict[str, list[tuple[float, float, int, float]]] = {OVERALL: []}
    prompts: dict[str, int] = {}
    for record in records:
        first = record.chosen_index == 0
        longer = (_length(record.chosen) - _length(record.rejected)) * (1 if first else -1)
        prompt = prompts.setdefault(repr(record.prompt), len(prompts))
        verdicts = [(OVERALL, record.p_chosen), *((verdict.id, verdict.p) for verdict in record.principles)]
        margins = [record.gold_margin, *(record.gold_margins.get(verdict.id) for verdict in record.principles)]
        for (name, p), margin in zip(verdicts, margins, strict=True):
            if p is not None:
                known = np.nan if margin is None else (1.0 + np.sign(margin if first else -margin)) / 2
                played.setdefault(name, []).append((p if first else 1.0 - p, longer, prompt, known))
    columns = {name: np.array(rows, dtype=np.float64).reshape(-1, 4).T for name, rows in played.items()}
    return {name: Games(p, longer, prompt.astype(np.int64), known) for name, (p, longer, prompt, known) in columns.items()}


def win_rate(name: str, played: Games, seed: int = 0, draws: int = DRAWS) -> WinRate:
    """A's win rate over B. Intervals hold 95% of the rates of ``draws`` resamplings of whole prompts (Efron 1979): responses to
    one prompt are not independent. Without any game all is NaN."""
    number = len(np.unique(played.prompt))
    if not number:
        return WinRate(name, NOTHING, NOTHING, 0, 0, 0, 0)
    weights = resampled(played.prompt, draws, seed)
    once = np.ones((1, len(played.p)))
    controlled = length_controlled(played, once), length_controlled(played, weights)
    return WinRate(
        name,
        mean_interval(played.p, weights, number),
        expanded(float(controlled[0][0]), controlled[1], number),
        int((played.p > 0.5).sum()),
        int((played.p == 0.5).sum()),
        int((played.p < 0.5).sum()),
        number,
        int((~np.isnan(played.known)).sum()),
        corrected(played.p, played.known, played.prompt),
    )


def length_controlled(played: Games, weights: Floats) -> Floats:
    """[D]: for each row of ``weights`` [D, N], the win rate that A would have were both responses of one length.

    logit p = θ + φ·tanh(Δ / sd Δ), Δ the difference of length; the rate is σ(θ). Source: length-controlled AlpacaEval, Dubois
    et al. 2024 (arXiv 2404.04475), eq. 2, without its term for how hard an instruction is, which takes many models to fit.
    """
    spread = played.longer.std()
    length = np.tanh(played.longer / spread) if spread else np.zeros_like(played.longer)
    theta, phi = np.zeros((2, len(weights)))
    for _ in range(STEPS):
        q = sigmoid(theta[:, None] + phi[:, None] * length)
        error, curvature = weights * (played.p - q), weights * q * (1 - q)
        gradient = error.sum(1) - RIDGE * theta, (error * length).sum(1) - RIDGE * phi
        a, b, c = curvature.sum(1) + RIDGE, (curvature * length).sum(1), (curvature * length**2).sum(1) + RIDGE
        determinant = a * c - b * b
        steps = (c * gradient[0] - b * gradient[1]) / determinant, (a * gradient[1] - b * gradient[0]) / determinant
        theta, phi = theta + np.clip(steps[0], -2, 2), phi + np.clip(steps[1], -2, 2)
        if np.abs(steps).max() < CLOSE:
            break
    rates: Floats = sigmoid(theta)
    return rates


def _length(turns: Iterable[Turn]) -> int:
    return sum(len(turn["content"]) for turn in turns)
