"""Agreement of a label run with known preferences, section by section, as judge benchmarks count it.

JudgeBench (Tan et al. 2024, arXiv 2410.12784) asks in both orders: two decisions alike count, a decision and a tie count as
the decision, two that contradict each other and two ties are wrong. MT-Bench (Zheng et al. 2023, arXiv 2306.05685 §4.2) has
known ties: a verdict that is not the same in both orders is a tie.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlaif.critic.aggregate import Opinion, preference
from rlaif.data.records import OVERALL, PreferenceRecord, PrincipleVerdict, ScoreRecord, read_records
from rlaif.data.run_folder import read_run
from rlaif.errors import UsageError
from rlaif.evaluate import agreement, rewardbench
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.gold import labelled_records
from rlaif.evaluate.intervals import Floats, share
from rlaif.evaluate.judgement import Judgement
from rlaif.evaluate.prediction_powered import estimate
from rlaif.evaluate.rewardbench import BestOf, Scored
from rlaif.evaluate.table import NONE, interval, percent

SECTIONS = {"mmlu-pro": "Knowledge", "livebench-reasoning": "Reasoning", "livebench-math": "Math", "livecodebench": "Coding"}
"""JudgeBench's four, by how a row's ``source`` begins."""


class Section(NamedTuple):
    """pairs: labelled pairs with a verdict. both: share that counts as right in both orders, NaN-valued where pairs were
    asked in one. contradictions: share whose winner depends on the order. mean: share that the mean over the orders decides
    as the label does. kappa: Cohen's κ of that. with_ties: share of these pairs and of the ``ties`` pairs that are known to be
    ties, whose verdict in both orders, a tie where they differ, is the label. Intervals take a prompt's pairs together."""

    name: str
    pairs: int
    both: Interval
    contradictions: Interval
    mean: Interval
    kappa: float
    ties: int
    with_ties: Interval


class _Pair(NamedTuple):
    """source: what the column says. prompt: a number for the prompt's text."""

    p: float
    margin: float
    decided: tuple[int, int] | None
    source: str
    prompt: int


def sections(run_folder: Path, column: str | None = None, gold: str | None = None) -> list[Section]:
    """A label run's agreement with its labels (gold ``overall``), by the values of a source column, and over all.

    By RewardBench's ``subset``, the four sections come after the subsets, and ``all`` is their mean. gold: see
    ``labelled_records``.
    Raises UsageError where the folder holds no finished run, or none of its pairs has a label or the column.
    """
    run = read_run(run_folder)
    constitution = run.get("constitution", {})
    gates = {principle["id"]: principle.get("gate") for principle in constitution.get("principles", [])}
    how = run.get("config", {}).get("aggregate") or constitution.get("aggregate", "weighted")
    pairs, prompts = [], dict[str, int]()
    for record in labelled_records(run_folder, gold):
        value = record.extra.get(column) if column else ""
        if record.gold_margin is not None and value is not None:
            prompt = prompts.setdefault(repr(record.prompt), len(prompts))
            decided = decisions(record.principles, gates, how)
            pairs.append(_Pair(record.p_chosen, record.gold_margin, decided, str(value), prompt))
    if not any(pair.margin for pair in pairs):
        raise UsageError(f"{run_folder}: no pair has a known preference" + (f" and a column {column!r}" if column else ""))
    subsets = column == "subset" and all(pair.source in rewardbench.OF_SUBSET for pair in pairs)
    first = [pair.source for pair in pairs] if subsets else [section(pair.source) for pair in pairs]
    lines = list(_by(first, pairs, [*SECTIONS.values(), *rewardbench.OF_SUBSET])) if column else []
    if subsets:
        lines += _by([rewardbench.OF_SUBSET[pair.source] for pair in pairs], pairs, [*rewardbench.SECTIONS], weighted=True)
    return [*lines, _section("all", pairs, subsets)]


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


def cells(judged: Sequence[Section]) -> list[list[str]]:
    """Header and rows of text cells. Where there are known ties, they stand in place of the contradictions."""
    ties = any(row.ties for row in judged)
    rows = [
        [
            row.name,
            f"{row.pairs:,}",
            interval(row.both),
            *([] if ties else [percent(row.contradictions.value)]),
            interval(row.mean),
            NONE if np.isnan(row.kappa) else f"{row.kappa:.3f}",
            *([f"{row.ties:,}", interval(row.with_ties)] if ties else []),
        ]
        for row in judged
    ]
    header = ["section", "pairs", "in both orders", *([] if ties else ["contradict"]), "by the mean", "κ"]
    return [header + (["ties", "ties counted"] if ties else []), *rows]


def best_of(run_folder: Path) -> list[BestOf] | None:
    """RewardBench 2's table of a label run over its rows; None where it is another run. Prompts that are not judged in whole
    are left out. Raises UsageError where the folder holds no finished run."""
    read_run(run_folder)
    scores = read_records(run_folder / "scores.jsonl", ScoreRecord)
    by_row: dict[int, list[ScoreRecord]] = {}
    for score in scores:
        if "num_correct" not in score.extra:
            return None
        by_row.setdefault(score.row, []).append(score)
    if by_row:
        return _of_scores(by_row.values())
    by_prompt: dict[Any, list[PreferenceRecord]] = {}
    for pair in read_records(run_folder / "preferences.jsonl", PreferenceRecord):
        if "num_correct" not in pair.extra:
            return None
        if pair.gold_margin:
            by_prompt.setdefault(pair.extra.get("prompt_id", pair.row), []).append(pair)
    right = []
    for pairs in by_prompt.values():
        extra = pairs[0].extra
        if len(pairs) == extra["num_correct"] * extra["num_incorrect"]:
            won = all((pair.p_chosen - 0.5) * (pair.gold_margin or 0.0) > 0 for pair in pairs)
            right.append((str(extra["subset"]), float(won)))
    return rewardbench.best_of(right) if right else None


def best_of_cells(lines: Iterable[BestOf]) -> list[list[str]]:
    """Header and rows of text cells."""
    return [["subset", "prompts", "score"], *([line.name, f"{line.prompts:,}", interval(line.score)] for line in lines)]


def _of_scores(rows: Iterable[Sequence[ScoreRecord]]) -> list[BestOf]:
    prompts = []
    for row in rows:
        right, wrong = ([score.score for score in row if score.gold_score == gold] for gold in (1.0, 0.0))
        extra = row[0].extra
        if (len(right), len(wrong)) == (extra["num_correct"], extra["num_incorrect"]):
            prompts.append(Scored(row[0].id.rpartition(":")[0], str(extra["subset"]), right, wrong))
    others = [(prompt.subset, float(prompt.lead > 0)) for prompt in prompts if prompt.subset != rewardbench.TIES]
    return rewardbench.best_of(others, [prompt for prompt in prompts if prompt.subset == rewardbench.TIES])


def _by(names: Sequence[str], pairs: Sequence[_Pair], order: Sequence[str], weighted: bool = False) -> Iterator[Section]:
    """A section for each of the names, those of ``order`` first."""
    named: dict[str, list[_Pair]] = {}
    for name, pair in zip(names, pairs, strict=True):
        named.setdefault(name, []).append(pair)
    for name in sorted(named, key=lambda name: (order.index(name) if name in order else len(order), name)):
        yield _section(name, named[name], weighted)


def _section(name: str, every: Sequence[_Pair], weighted: bool = False) -> Section:
    """weighted: as the sections of RewardBench are."""
    pairs = [pair for pair in every if pair.margin]
    p, margin = (np.array([pair[part] for pair in pairs], dtype=np.float64) for part in (0, 1))
    table = agreement.confusion(p, margin)
    orders = [pair for pair in every if pair.decided is not None]
    asked = [pair for pair in orders if pair.margin]
    return Section(
        name,
        len(pairs),
        _share([sum(pair.decided or ()) * pair.margin > 0 for pair in asked], asked, weighted),
        _share([_lesser(pair) < 0 for pair in asked], asked, weighted),
        _share(((p - 0.5) * margin > 0).tolist(), pairs, weighted),
        agreement.kappa(table),
        len(every) - len(pairs),
        _share([_verdict(pair) == np.sign(pair.margin) for pair in orders], orders, weighted),
    )


def _lesser(pair: _Pair) -> int:
    return pair.decided[0] * pair.decided[1] if pair.decided else 0


def _verdict(pair: _Pair) -> int:
    """1 chosen, −1 rejected, 0 a tie: the two orders are not alike."""
    return pair.decided[0] if pair.decided and pair.decided[0] == pair.decided[1] else 0


def _share(right: Sequence[bool], pairs: Sequence[_Pair], weighted: bool) -> Interval:
    weight: Floats | None = np.array(rewardbench.weights([pair.source for pair in pairs])) if weighted else None
    return share(np.array(right, dtype=np.float64), np.array([pair.prompt for pair in pairs], dtype=np.int64), weight)
