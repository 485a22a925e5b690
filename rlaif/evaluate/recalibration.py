"""Fitting a critic's probabilities to labels, and how much better they are on labels that the fit did not see."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlaif.critic.aggregate import Opinion, preference
from rlaif.critic.calibrated import SHAPING, Calibration, Map, wording_of
from rlaif.data.records import OVERALL, PreferenceRecord, beside_overall
from rlaif.data.run_folder import read_run
from rlaif.errors import RunFailed, UsageError
from rlaif.evaluate import calibration as reliability
from rlaif.evaluate.gold import labelled_records

Floats = NDArray[np.float64]
FEWEST = {"platt": 50, "isotonic": 300}
"""Labels below which a method is not fitted: one number takes few, a curve many (Niculescu-Mizil and Caruana 2005, §5)."""
FOLDS = 5
TOGETHER = "principles together"
"""What is shown for the map of all principles that have too few labels of their own."""
STEEPEST, EDGE = 20.0, 1e-6


class Pair(NamedTuple):
    """A judged pair. row: of the source. asked: by principle, the critic's own p that ``chosen`` is better. label: by
    principle (``beside_overall``) and ``overall``, 1 where the label says so too, else 0; ties have none. rules: each
    principle's weight and gate."""

    row: int
    asked: Mapping[str, float]
    label: Mapping[str, float]
    rules: Mapping[str, tuple[float, float | None]]


class Measured(NamedTuple):
    """On held-out labels: expected calibration error and mean log loss of the critic's own p, and of the calibrated one."""

    name: str
    labels: int
    ece_before: float
    ece_after: float
    loss_before: float
    loss_after: float

    @property
    def helps(self) -> bool:
        return self.loss_after < self.loss_before


def platt(p: Floats, y: Floats) -> Map:
    """σ(a · logit p) with the a ≥ 0 of least log loss against Platt's targets (n + 1)/(n + 2) and 1/(n + 2).

    p, y: [N]. Each pair counts in both orientations, so that there is no intercept. Source: Platt 1999, "Probabilistic
    outputs for support vector machines", §2.2.
    """
    from scipy.optimize import minimize_scalar

    n, towards = len(p), np.where(y == 1, 1.0, -1.0)
    x, target = towards * _logit(p), (len(p) + 1) / (len(p) + 2)

    def loss(a: float) -> float:
        return float((target * np.logaddexp(0, -a * x) + (1 - target) * np.logaddexp(0, a * x)).sum())

    return Map(n, slope=float(minimize_scalar(loss, bounds=(0.0, STEEPEST), method="bounded").x))


def isotonic(p: Floats, y: Floats) -> Map:
    """The increasing steps of least squares, joined by straight lines, and kept from 0 and 1 as far as Platt's targets are.

    p, y: [N]; each pair counts in both orientations. Source: Zadrozny and Elkan 2002, "Transforming classifier scores".
    """
    from scipy.optimize import isotonic_regression

    both, labels = np.concatenate([p, 1 - p]).round(6), np.concatenate([y, 1 - y])
    x, index, weights = np.unique(both, return_inverse=True, return_counts=True)
    means = np.bincount(index, labels) / weights
    fitted = isotonic_regression(means, weights=weights).x
    fitted = np.clip((fitted + 1 - fitted[::-1]) / 2, 1 / (len(p) + 2), (len(p) + 1) / (len(p) + 2))
    corner = np.ones(len(x), dtype=bool)  # points within a step say nothing
    corner[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    return Map(len(p), x=tuple(x[corner].tolist()), y=tuple(fitted[corner].tolist()))


METHODS: Mapping[str, Callable[[Floats, Floats], Map]] = {"platt": platt, "isotonic": isotonic}


def calibrate_run(
    run_folder: Path, gold: str | None = None, method: str = "platt", seed: int = 0
) -> tuple[Calibration, list[Measured]]:
    """A map for each principle and for the overall preference, as far as there are labels and it helps, and how they do.

    gold: see ``labelled_records``. A principle with too few labels shares one map with all others. Raises UsageError where
    nothing has enough labels, RunFailed where nothing helps.
    """
    run = read_run(run_folder)
    config, constitution, template = run.get("config", {}), run.get("constitution", {}), run.get("template", {})
    how = config.get("aggregate") or constitution.get("aggregate", "weighted")
    described = {principle["id"]: principle for principle in constitution.get("principles", [])}
    gates = {name: principle.get("gate") for name, principle in described.items()}
    pairs = read_pairs(labelled_records(run_folder, gold), gates)
    groups = principle_groups(pairs, FEWEST[method])
    measured = {name: measure(pairs, name, method, seed) for name in groups}
    kept = {name: group for name, group in groups.items() if measured[name].helps}
    enough = sum(OVERALL in pair.label for pair in pairs) >= FEWEST[method]
    overall = measure_overall(pairs, kept, method, how, seed) if enough else None
    if not measured and overall is None:
        raise UsageError(
            f"{run_folder}: {len(pairs)} labelled pairs are too few: {method} takes {FEWEST[method]} labels by a principle, by "
            "all principles together, or overall; rlaif annotate adds some"
        )
    maps = fit_principles(pairs, kept, method)
    found = Calibration(
        critic=str(run.get("critic")),
        mode=str(template.get("mode")),
        template=str(template.get("digest")),
        settings={name: config.get(name) for name in SHAPING},
        constitution=str(constitution.get("digest")),
        aggregate=how,
        wordings={name: wording_of(described.get(name, {}), str(template.get("mode")), config.get("shots")) for name in maps},
        principles=maps,
        overall=fit_overall(pairs, maps, method, how) if overall and overall.helps else None,
    )
    if not found.principles and found.overall is None:
        raise RunFailed(f"{run_folder}: no map lessens the loss on held-out labels, so there is nothing to write")
    return found, [*measured.values(), *([overall] if overall else [])]


def read_pairs(records: Iterable[PreferenceRecord], gates: Mapping[str, float | None]) -> list[Pair]:
    """Those that have a label. gates: by principle."""
    pairs = []
    for record in records:
        label = {entry.id: float(entry.margin > 0) for entry in record.gold if entry.margin}
        if label:
            known = [(verdict, p) for verdict in record.principles if (p := verdict.asked) is not None]
            rules = {verdict.id: (verdict.weight, gates.get(verdict.id)) for verdict, _ in known}
            pairs.append(Pair(record.row, {verdict.id: p for verdict, p in known}, label, rules))
    return pairs


def principle_groups(pairs: Sequence[Pair], enough: int) -> dict[str, list[str]]:
    """Which principles have which map, by what is shown for it: their own with ``enough`` labels, else one for all that have
    less, fitted on every principle's labels, where these are enough together."""
    names = dict.fromkeys(name for pair in pairs for name in pair.asked)
    own = [name for name in names if len(points(pairs, beside_overall(name))[0]) >= enough]
    groups = {beside_overall(name): [name] for name in own}
    others = [name for name in names if name not in own]
    return {**groups, TOGETHER: others} if others and len(points(pairs, TOGETHER)[0]) >= enough else groups


def points(pairs: Iterable[Pair], group: str) -> tuple[Floats, Floats]:
    """p and labels, each [N], of a principle (``beside_overall``), or of all of them (``TOGETHER``)."""
    known = [
        (p, pair.label[shown])
        for pair in pairs
        for name, p in pair.asked.items()
        if (shown := beside_overall(name)) in pair.label and group in (shown, TOGETHER)
    ]
    p, y = np.array(known, dtype=np.float64).reshape(-1, 2).T
    return p, y


def overall_points(pairs: Iterable[Pair], maps: Mapping[str, Map], how: Any) -> tuple[Floats, Floats]:
    """The same of the preference that the principles make, those with a map calibrated."""
    known = []
    for pair in pairs:
        if OVERALL in pair.label:
            opinions = [Opinion(maps[name](p) if name in maps else p, *pair.rules[name]) for name, p in pair.asked.items()]
            made = preference(opinions, how)
            known += [(made, pair.label[OVERALL])] if made is not None else []
    p, y = np.array(known, dtype=np.float64).reshape(-1, 2).T
    return p, y


def fit_principles(pairs: Sequence[Pair], groups: Mapping[str, Sequence[str]], method: str) -> dict[str, Map]:
    """Each principle's map. groups: see ``principle_groups``."""
    fitted = {group: METHODS[method](*points(pairs, group)) for group in groups}
    return {name: fitted[group]._replace(shared=group == TOGETHER) for group, names in groups.items() for name in names}


def fit_overall(pairs: Sequence[Pair], maps: Mapping[str, Map], method: str, how: Any) -> Map:
    """The map of what the calibrated principles make together."""
    return METHODS[method](*overall_points(pairs, maps, how))


def measure(pairs: Sequence[Pair], group: str, method: str, seed: int = 0) -> Measured:
    """A group's map on the labels of source rows that it was not fitted on, in ``FOLDS`` parts."""
    seen = []
    for train, test in folds(pairs, seed):
        found = METHODS[method](*points(train, group))
        seen += [(p, found(p), y) for p, y in zip(*points(test, group), strict=True)]
    return _measured(group, seen)


def measure_overall(
    pairs: Sequence[Pair], groups: Mapping[str, Sequence[str]], method: str, how: Any, seed: int = 0
) -> Measured:
    """The same of the overall preference. Before: as the critic's own p make it."""
    seen = []
    for train, test in folds(pairs, seed):
        maps = fit_principles(train, groups, method)
        found = fit_overall(train, maps, method, how)
        (before, y), (after, _) = (overall_points(test, using, how) for using in ({}, maps))
        seen += [(p, found(made), label) for p, made, label in zip(before, after, y, strict=True)]
    return _measured(OVERALL, seen)


def folds(pairs: Sequence[Pair], seed: int) -> Iterator[tuple[list[Pair], list[Pair]]]:
    """(to fit on, held out), all pairs of a source row on the same side."""
    rows = sorted({pair.row for pair in pairs})
    random.Random(seed).shuffle(rows)
    fold = {row: number % FOLDS for number, row in enumerate(rows)}
    for number in range(FOLDS):
        yield [pair for pair in pairs if fold[pair.row] != number], [pair for pair in pairs if fold[pair.row] == number]


def _measured(name: str, seen: Sequence[tuple[float, float, float]]) -> Measured:
    before, after, y = np.array(seen, dtype=np.float64).T
    eces = [reliability.ece(reliability.reliability(p, 2 * y - 1)) for p in (before, after)]
    losses = [float(-np.log(np.clip(np.where(y == 1, p, 1 - p), EDGE, 1)).mean()) for p in (before, after)]
    return Measured(name, len(y), *eces, *losses)


def _logit(p: Floats) -> Floats:
    p = np.clip(p, EDGE, 1 - EDGE)
    found: Floats = np.log(p / (1 - p))
    return found
