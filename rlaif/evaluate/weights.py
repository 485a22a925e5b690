"""Principles' weights from known preferences: which mix of the critic's verdicts agrees with the labels.

Only stored verdicts are read; nothing is asked.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlaif.constitution import Constitution
from rlaif.critic.aggregate import Opinion, decisive, preference
from rlaif.data.records import PreferenceRecord
from rlaif.data.run_folder import read_run
from rlaif.errors import UsageError
from rlaif.evaluate.agreement import Interval, wilson
from rlaif.evaluate.gold import labelled_records

Floats = NDArray[np.float64]
PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Pulls towards equal weights that are tried, per pair."""
LEAST = 0.05
"""The least c of ``solve``."""
_FOLDS = 5


class Labelled(NamedTuple):
    """p: [N, K] probability that ``chosen`` is better, by principle, NaN where there is no verdict. label: [N], 1 where the
    label says so too, else −1. row: [N], the source row of each pair."""

    p: Floats
    label: Floats
    row: NDArray[np.int64]

    def part(self, rows: set[int]) -> Labelled:
        """The pairs of these source rows."""
        kept = np.array([row in rows for row in self.row.tolist()], dtype=bool)
        return Labelled(self.p[kept], self.label[kept], self.row[kept])


class Fitted(NamedTuple):
    """weights: in the order of the principles; their sum is that of the weights before. before, equal, after: agreement
    with labels on held-out rows. fitted_on, held_out: pairs. penalty: the pull towards equal weights that was chosen."""

    weights: list[float]
    before: Interval
    equal: Interval
    after: Interval
    fitted_on: int
    held_out: int
    penalty: float


def fit_run(
    run_folder: Path, constitution: Constitution, held_out: float = 0.3, seed: int = 0, gold: str | None = None
) -> Fitted:
    """``fit`` on what a label run's folder holds, for the principles of ``constitution``. gold: see ``labelled_records``.

    Raises UsageError where it holds too little: no finished run, no verdicts by a principle, too few rows with a label, or
    one drawn principle per pair (``sampled``), which does not show how principles weigh against each other.
    """
    run = read_run(run_folder)
    if (run.get("config", {}).get("aggregate") or run.get("constitution", {}).get("aggregate")) == "sampled":
        raise UsageError(f"{run_folder}: judged each pair by one drawn principle; label with --aggregate weighted")
    names = [principle.id for principle in constitution.principles]
    data = labelled(labelled_records(run_folder, gold), names)
    silent = [name for name, column in zip(names, data.p.T, strict=True) if np.isnan(column).all()]
    if len(data.label) and silent:
        raise UsageError(f"{run_folder}: no verdict by {', '.join(silent)} on a labelled pair; label with this constitution")
    try:
        weights, gates = zip(*((principle.weight, principle.gate) for principle in constitution.principles), strict=True)
        return fit(data, weights, gates, held_out, seed)
    except ValueError as error:
        raise UsageError(f"{run_folder}: {error}") from None


def labelled(records: Iterable[PreferenceRecord], principles: Sequence[str]) -> Labelled:
    """The pairs of preference records that have a label: a gold margin that is not 0."""
    p, label, row = [], [], []
    for record in records:
        if record.gold_margin:
            known = {verdict.id: verdict.p for verdict in record.principles}
            p.append([np.nan if known.get(name) is None else known[name] for name in principles])
            label.append(1.0 if record.gold_margin > 0 else -1.0)
            row.append(record.row)
    return Labelled(np.array(p).reshape(-1, len(principles)), np.array(label), np.array(row, dtype=np.int64))


def fit(data: Labelled, before: Sequence[float], gates: Sequence[float | None], held_out: float = 0.3, seed: int = 0) -> Fitted:
    """Fit on some source rows, measure on the others.

    The pull towards equal weights is chosen by cross-validation within the rows that are fitted on, so what is held out has
    no part in any choice. Pairs in which a gate is open are measured but not fitted on: weights do not decide them.
    Raises ValueError where there are not two rows on either side, or nothing to fit on.
    """
    rows = sorted(set(data.row.tolist()))
    random.Random(seed).shuffle(rows)
    cut = round(len(rows) * held_out)
    if min(cut, len(rows) - cut) < 2:
        raise ValueError(f"{len(rows)} labelled rows are too few to fit on some and measure on the others")
    test, train = data.part(set(rows[:cut])), data.part(set(rows[cut:]))
    usable = np.array([not decisive(_opinions(p, before, gates)) for p in train.p], dtype=bool)
    free = Labelled(train.p[usable], train.label[usable], train.row[usable])
    if not np.nan_to_num(free.p - 0.5).any():
        gated = len(train.label) - len(free.label)
        raise ValueError(f"of {len(train.label)} pairs to fit on, gates decide {gated}, and the others' verdicts are all even")
    folds = np.array([random.Random(repr((seed, row))).randrange(_FOLDS) for row in free.row.tolist()])
    losses = {
        penalty: sum(
            log_loss(solve(_without(free, folds == fold), penalty), _without(free, folds != fold)) for fold in range(_FOLDS)
        )
        for penalty in PENALTIES
    }
    penalty = min(reversed(PENALTIES), key=lambda candidate: losses[candidate])
    solution = solve(free, penalty)
    total = solution.sum()
    weights = [
        float(weight) for weight in (solution / total if total > 0 else np.ones_like(solution) / len(solution)) * sum(before)
    ]
    weights = [float(f"{weight:.3g}") for weight in weights]
    equal_weights = [1.0] * len(before)
    then, equal, now = (_agreement(test, mix, gates) for mix in (before, equal_weights, weights))
    return Fitted(weights, then, equal, now, len(free.label), len(test.label), penalty)


def solve(data: Labelled, penalty: float) -> Floats:
    """argmin over w ≥ 0 of mean log(1 + exp(−y Σ wₖ xₖ)) + penalty · Σ (wₖ/c − 1)², with xₖ = pₖ − ½ (0 where missing).

    Σ wₖ xₖ > 0 is just when the weighted mean of the p is above ½, so what is fitted is the decision that ``weighted`` makes.
    c is the best weight where all are equal; labels that say nothing would make it 0, and with it the pull endless. [K]
    """
    from scipy.optimize import minimize, minimize_scalar

    x = np.nan_to_num(data.p - 0.5)
    n, k = max(1, len(x)), x.shape[1]
    even = minimize_scalar(lambda c: log_loss(np.full(k, c), data), bounds=(LEAST, 100.0), method="bounded").x

    def objective(w: Floats) -> tuple[float, Floats]:
        margin = data.label * (x @ w)
        slope = -data.label / (1.0 + np.exp(np.clip(margin, -500, 500))) / n
        apart = w / even - 1.0
        return log_loss(w, data) / n + penalty * float(apart @ apart), x.T @ slope + 2 * penalty * apart / even

    solution = minimize(objective, np.full(k, even), jac=True, method="L-BFGS-B", bounds=[(0.0, 1e3)] * k)
    return np.asarray(solution.x, dtype=np.float64)


def log_loss(weights: Floats, data: Labelled) -> float:
    """Σ log(1 + exp(−y Σ wₖ (pₖ − ½))) over the pairs."""
    return float(np.logaddexp(0.0, -data.label * (np.nan_to_num(data.p - 0.5) @ weights)).sum())


def _without(data: Labelled, left_out: NDArray[np.bool_]) -> Labelled:
    return Labelled(data.p[~left_out], data.label[~left_out], data.row[~left_out])


def _agreement(data: Labelled, weights: Sequence[float], gates: Sequence[float | None]) -> Interval:
    """Of the pairs with any verdict: how many the aggregate and the label decide alike; ½ agrees with neither."""
    preferences = [preference(_opinions(p, weights, gates), "weighted") for p in data.p]
    decided = [(p, y) for p, y in zip(preferences, data.label.tolist(), strict=True) if p is not None]
    return wilson(sum((p - 0.5) * y > 0 for p, y in decided), len(decided))


def _opinions(p: Floats, weights: Sequence[float], gates: Sequence[float | None]) -> list[Opinion]:
    values = [None if np.isnan(value) else float(value) for value in p]
    return [Opinion(*item) for item in zip(values, weights, gates, strict=True)]
