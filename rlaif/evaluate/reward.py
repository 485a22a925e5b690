"""What a reward model is worth: whether it is right, how sure it is, and whether it goes by length."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from rlaif.critic.strengths import sigmoid
from rlaif.evaluate import rewardbench
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.benchmark import section
from rlaif.evaluate.calibration import ece, reliability
from rlaif.evaluate.intervals import NOTHING, Clusters, Floats, correlation, share, slope
from rlaif.evaluate.requirements import shown
from rlaif.evaluate.rewardbench import BestOf
from rlaif.evaluate.table import NONE, interval

DRAWS = 500
"""Simulations of a calibrated model."""


class Pairs(NamedTuple):
    """Responses to one prompt of which one is known to be better, [N]. lead: its score minus the other's. odds: the same in
    natural-log odds, as it was trained. longer: its characters minus the other's. prompt: a number. category: '' where there
    are none."""

    lead: Floats
    odds: Floats
    longer: Floats
    prompt: Clusters
    category: Sequence[str]

    def part(self, kept: Sequence[bool]) -> Pairs:
        where = np.array(kept, dtype=bool)
        category = [name for name, keep in zip(self.category, kept, strict=True) if keep]
        return Pairs(self.lead[where], self.odds[where], self.longer[where], self.prompt[where], category)


class Reward(NamedTuple):
    """accuracy: share of pairs in which the better response has the higher score; longer, shorter: of those in which it is the
    longer one, or the shorter. ece: expected calibration error of σ(odds); ece_by_chance: what a calibrated model with as many
    such pairs stays below 19 times in 20. slope: see ``intervals.slope``. length: correlation of the lead with the difference
    of length. best_of: see ``rewardbench``; NaN of other files."""

    name: str
    pairs: int
    accuracy: Interval
    longer: Interval
    shorter: Interval
    ece: float
    ece_by_chance: float
    slope: Interval
    length: Interval
    best_of: Interval = NOTHING


def rewards(pairs: Pairs, best_of: Iterable[BestOf] = (), seed: int = 0) -> list[Reward]:
    """A line for each category, and for ``all``. RewardBench's subsets come with their sections, of whose accuracies ``all``
    is the mean."""
    named = {line.name: line.score for line in best_of}
    names = list(dict.fromkeys(map(section, pairs.category)))
    lines = [
        _reward(name, pairs.part([section(own) == name for own in pairs.category]), seed) for name in sorted(names) if name
    ]
    subsets = bool(lines) and all(own in rewardbench.OF_SUBSET for own in pairs.category)
    if subsets:
        of = [rewardbench.OF_SUBSET[own] for own in pairs.category]
        lines += [
            _reward(name, pairs.part([own == name for own in of]), seed, weighted=True)
            for name in rewardbench.SECTIONS
            if name in of
        ]
    lines.append(_reward("all", pairs, seed, subsets))
    scored = {line.name for line in lines}
    alone = [_reward(name, pairs.part([False] * len(pairs.lead)), seed) for name in named]
    every = [*lines[:-1], *(line for line in alone if line.name not in scored), lines[-1]]
    return [line._replace(best_of=named.get(line.name, NOTHING)) for line in every]


def cells(lines: Sequence[Reward]) -> list[list[str]]:
    """Header and rows of text cells. Of RewardBench 2 the best of several stands in place of the accuracy on pairs."""
    several = any(not math.isnan(line.best_of.value) for line in lines)
    rows = [
        [
            line.name,
            f"{line.pairs:,}",
            interval(line.best_of if several else line.accuracy),
            NONE if math.isnan(line.ece) else f"{line.ece:.3f} ({line.ece_by_chance:.3f})",
            NONE if math.isnan(line.slope.value) else f"{line.slope.value:.2f}",
            NONE if math.isnan(line.length.value) else f"{line.length.value:+.2f}",
        ]
        for line in lines
    ]
    return [["", "pairs", "best of" if several else "accuracy", "ECE (by chance)", "slope", "r length"], *rows]


def facts(lines: Sequence[Reward]) -> list[str]:
    """What the table has no room for, of all pairs."""
    line = lines[-1]
    told = [("slope", line.slope, False), ("r with length", line.length, False)]
    told += [("accuracy where the better response is the longer one", line.longer, True)]
    shorter = "" if math.isnan(line.shorter.value) else f", the shorter one: {shown(line.shorter, True)}"
    texts = [f"{name}: {shown(found, share)}" for name, found, share in told if not math.isnan(found.value)]
    return [*texts[:-1], texts[-1] + shorter] if texts else []


def _reward(name: str, pairs: Pairs, seed: int, weighted: bool = False) -> Reward:
    right = (pairs.lead > 0).astype(np.float64)
    weight = np.array(rewardbench.weights(pairs.category)) if weighted else None
    p = sigmoid(pairs.odds)
    longer, shorter = (share(right[where], pairs.prompt[where]) for where in (pairs.longer > 0, pairs.longer < 0))
    return Reward(
        name,
        len(right),
        share(right, pairs.prompt, weight),
        longer,
        shorter,
        ece(reliability(p, np.ones_like(p))),
        _by_chance(p, seed),
        slope(pairs.odds, pairs.prompt),
        correlation(pairs.lead, pairs.longer, pairs.prompt),
    )


def _by_chance(p: Floats, seed: int) -> float:
    """The 95th percentile of the calibration error, were a pair's better response the likelier one as often as σ(odds) says."""
    if not len(p):
        return math.nan
    draw = np.random.default_rng(seed)
    sure = np.maximum(p, 1 - p)
    errors = [ece(reliability(sure, np.where(draw.random(len(p)) < sure, 1.0, -1.0))) for _ in range(DRAWS)]
    return float(np.percentile(errors, 95))


class Judged(NamedTuple):
    """A response. score, odds: the model's, NaN where it has none. gold: what is known of it, higher is better. length: its
    characters."""

    score: float
    odds: float
    gold: float | None
    length: int


def pairs_of(rows: Iterable[tuple[int, str, Sequence[Judged]]]) -> Pairs:
    """All pairs of a row's responses of which one is known to be better. rows: the prompt's number, its category, and the
    responses; those without a score or anything known are left out."""
    found: list[tuple[float, float, float, float]] = []
    categories: list[str] = []
    for prompt, category, responses in rows:
        known = [(each, each.gold) for each in responses if each.gold is not None and not math.isnan(each.score)]
        for better, gold in known:
            for worse, least in known:
                if gold > least:
                    found.append((better.score - worse.score, better.odds - worse.odds, better.length - worse.length, prompt))
                    categories.append(category)
    lead, odds, longer, prompts = np.array(found, dtype=np.float64).reshape(-1, 4).T
    return Pairs(lead, odds, longer, prompts.astype(np.int64), categories)
