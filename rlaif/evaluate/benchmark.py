"""Agreement of a label run with known preferences, section by section, as judge benchmarks count it.

JudgeBench (Tan et al. 2024, arXiv 2410.12784) asks in both orders: two decisions alike count, a decision and a tie count as
the decision, two that contradict each other and two ties are wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlaif.critic.aggregate import Opinion, preference
from rlaif.data.records import OVERALL, PrincipleVerdict
from rlaif.data.run_folder import read_run
from rlaif.errors import UsageError
from rlaif.evaluate import agreement
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.gold import labelled_records
from rlaif.evaluate.judgement import Judgement
from rlaif.evaluate.prediction_powered import estimate
from rlaif.evaluate.table import NONE, interval, percent

SECTIONS = {"mmlu-pro": "Knowledge", "livebench-reasoning": "Reasoning", "livebench-math": "Math", "livecodebench": "Coding"}
"""JudgeBench's four, by how a row's ``source`` begins."""


class Section(NamedTuple):
    """pairs: labelled pairs with a verdict. both: share that counts as right in both orders, NaN-valued where pairs were
    asked in one. contradictions: share whose winner depends on the order. mean: share that the mean over the orders decides
    as the label does. kappa: Cohen's κ of that."""

    name: str
    pairs: int
    both: Interval
    contradictions: Interval
    mean: Interval
    kappa: float


class _Pair(NamedTuple):
    p: float
    margin: float
    decided: tuple[int, int] | None


def sections(run_folder: Path, column: str | None = None, gold: str | None = None) -> list[Section]:
    """A label run's agreement with its labels (gold ``overall``), by the values of a source column, and over all.

    gold: see ``labelled_records``. Raises UsageError where the folder holds no finished run, or none of its pairs has a label
    or the column.
    """
    run = read_run(run_folder)
    constitution = run.get("constitution", {})
    gates = {principle["id"]: principle.get("gate") for principle in constitution.get("principles", [])}
    how = run.get("config", {}).get("aggregate") or constitution.get("aggregate", "weighted")
    named: dict[str, list[_Pair]] = {}
    for record in labelled_records(run_folder, gold):
        value = record.extra.get(column) if column else ""
        if record.gold_margin and value is not None:
            name = section(str(value))
            pair = _Pair(record.p_chosen, record.gold_margin, decisions(record.principles, gates, how))
            named.setdefault(name, []).append(pair)
    if not named:
        raise UsageError(f"{run_folder}: no pair has a known preference" + (f" and a column {column!r}" if column else ""))
    order = [*SECTIONS.values()]
    names = sorted(named, key=lambda name: (order.index(name) if name in order else len(order), name))
    by_section = [_section(name, named[name]) for name in names] if column else []
    return [*by_section, _section("all", [pair for pairs in named.values() for pair in pairs])]


def over_all_pairs(run_folder: Path, gold: str | None = None) -> Interval:
    """The agreement of all pairs of a run with labels that some of them have, where those were drawn at random
    (``prediction_powered``); NaN where all have one, or too few."""
    overall, preferences = Judgement(OVERALL), []
    for record in labelled_records(run_folder, gold):
        preferences.append((record.p_chosen, np.nan if record.gold_margin is None else record.gold_margin))
    p, margin = np.array(preferences, dtype=np.float64).reshape(-1, 2).T
    overall.add_pairs(p, np.full_like(p, np.nan), margin)
    return estimate(overall.known, overall.unknown)


def decisions(verdicts: Sequence[PrincipleVerdict], gates: Mapping[str, float | None], how: Any) -> tuple[int, int] | None:
    """Who wins where chosen is shown first, and where it is shown last: 1 chosen, −1 rejected, 0 neither.

    verdicts: of a pair. None where some verdict was asked in one order only.
    """
    known = [(verdict, p, verdict.gap) for verdict in verdicts if (p := verdict.asked) is not None]
    orders = []
    for sign in (1, -1):
        opinions = []
        for verdict, mean, gap in known:
            if gap is None:
                return None
            # p ± gap/2 are rounded in the file: a tie in one order must stay one.
            opinions.append(Opinion(round(mean + sign * gap / 2, 5), verdict.weight, gates.get(verdict.id)))
        p = preference(opinions, how)
        orders.append(int(np.sign(0.0 if p is None or abs(p - 0.5) < 1e-9 else p - 0.5)))
    return orders[0], orders[1]


def section(source: str) -> str:
    """JudgeBench's section of a source; any other value as it is."""
    return next((name for beginning, name in SECTIONS.items() if source.startswith(beginning)), source)


def cells(judged: Iterable[Section]) -> list[list[str]]:
    """Header and rows of text cells."""
    rows = [
        [
            row.name,
            f"{row.pairs:,}",
            interval(row.both),
            percent(row.contradictions.value),
            interval(row.mean),
            NONE if np.isnan(row.kappa) else f"{row.kappa:.3f}",
        ]
        for row in judged
    ]
    return [["section", "pairs", "in both orders", "contradict", "by the mean", "κ"], *rows]


def _section(name: str, pairs: Sequence[_Pair]) -> Section:
    p, margin = (np.array([pair[part] for pair in pairs], dtype=np.float64) for part in (0, 1))
    asked = [(pair.decided, pair.margin) for pair in pairs if pair.decided is not None]
    table = agreement.confusion(p, margin)
    return Section(
        name,
        len(pairs),
        agreement.wilson(sum(sum(decided) * margin > 0 for decided, margin in asked), len(asked)),
        agreement.wilson(sum(decided[0] * decided[1] < 0 for decided, _ in asked), len(asked)),
        agreement.accuracy(table),
        agreement.kappa(table),
    )
