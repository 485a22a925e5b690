"""The quality of a run's labels, from its folder, in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from rlaif.data.records import OVERALL, FailureRecord, PreferenceRecord, ScoreRecord, read_records
from rlaif.data.run_folder import read_run
from rlaif.evaluate import agreement, bias
from rlaif.evaluate.judgement import Judgement, Quality
from rlaif.evaluate.table import as_markdown, as_table

__all__ = ["Tally", "as_markdown", "as_table", "quality"]

_BATCH = 2048

R = TypeVar("R")


def quality(run_folder: Path) -> Quality:
    """Read a run folder's records once, with memory that does not grow with them.

    Raises UsageError where the folder holds no finished label run.
    """
    run = read_run(run_folder)
    reader = Tally(run)
    for batch in _batches(read_records(run_folder / "preferences.jsonl", PreferenceRecord)):
        reader.add_preferences(batch)
    if (run_folder / "scores.jsonl").is_file():
        for scores in _batches(read_records(run_folder / "scores.jsonl", ScoreRecord)):
            reader.add_scores(scores)
    reasons: Counter[str] = Counter()
    for failure in read_records(run_folder / "failures.jsonl", FailureRecord):
        reasons[failure.reason] += 1
    return reader.quality(run, dict(reasons.most_common()))


class Tally:
    """What the records of a run, read or just written, add up to. run: as much of ``run.json`` as there is: ``mode``,
    ``config``, and for ``quality`` the ``counts``."""

    def __init__(self, run: Mapping[str, Any]) -> None:
        self.one_order = run.get("config", {}).get("orders", "both") != "both"
        self.overall = Judgement(OVERALL)
        self.principles: dict[str, Judgement] = {}
        self.longer: Counter[bool] = Counter()
        self.listed: Counter[bool] = Counter()
        self.sums = np.zeros((3, 0, 0))
        self.from_scores = False
        self.row: tuple[int, dict[tuple[int, int], float]] = (0, {})
        self.cycles = (0, 0)

    def quality(self, run: Mapping[str, Any], reasons: Mapping[str, int]) -> Quality:
        """The figures over all rows that were taken in whole. reasons: failures by reason."""
        for name, tally in run.get("counts", {}).get("principles", {}).items():
            self.judgement(name).answered, self.judgement(name).failed = tally["verdicts"], tally["failed"]
        return Quality(
            run=run,
            overall=self.overall,
            principles=list(self.principles.values()),
            reasons=reasons,
            longer=(self.longer[True], self.longer.total()),
            listed=(self.listed[True], self.listed.total()),
            redundancy=bias.redundancy(self.sums),
            cycles=self.close_row(),
        )

    def close_row(self, following: int = 0) -> tuple[int, int]:
        """Count the cycles of the row that has just ended, and begin the next. Records of one row are adjacent."""
        circular, triples = bias.cycles(self.row[1])
        self.cycles = self.cycles[0] + circular, self.cycles[1] + triples
        self.row = following, {}
        return self.cycles

    def judgement(self, name: str) -> Judgement:
        if name not in self.principles:
            self.principles[name] = Judgement(name)
            self.sums = np.pad(self.sums, ((0, 0), (0, 1), (0, 1)))
        return self.principles[name]

    def add_preferences(self, records: Sequence[PreferenceRecord]) -> None:
        for name in {verdict.id: None for record in records for verdict in record.principles}:
            self.judgement(name)
        columns = {name: number for number, name in enumerate(self.principles)}
        p, asked, gap, gold = (np.full((len(records), len(columns) + 1), np.nan) for _ in range(4))
        for row, record in enumerate(records):
            p[row, -1] = asked[row, -1] = record.p_chosen
            if record.row != self.row[0]:
                self.close_row(record.row)
            self.row[1][record.chosen_index, record.rejected_index] = record.p_chosen
            for verdict in record.principles:
                column = columns[verdict.id]
                p[row, column], asked[row, column] = _number(verdict.p), _number(verdict.asked)
                gap[row, column] = _number(verdict.gap)
                self._count(self.principles[verdict.id], verdict.p, verdict.mass)
                self.principles[verdict.id].add_jury(verdict.jury)
            gold[row, -1] = _number(record.gold_margin)
            for name, margin in record.gold_margins.items():
                if name in columns:
                    gold[row, columns[name]] = margin
            self._take(bias.longer(record.chosen, record.rejected), self.longer)
            self._take(bias.listed(record.chosen, record.rejected), self.listed)
        self.overall.verdicts += len(records)
        first = np.array([(record.chosen_index < record.rejected_index) != bool(record.reversed) for record in records], bool)
        for column, judgement in enumerate([*self.principles.values(), self.overall]):
            judgement.add_pairs(
                p[:, column], gap[:, column], gold[:, column], first if self.one_order else None, asked[:, column]
            )
        self.sums += bias.co_moments(p[:, :-1])

    def add_scores(self, records: Sequence[ScoreRecord]) -> None:
        """In score mode it is responses that were asked about: their verdicts count, not those of the pairs made of them."""
        if not self.from_scores:
            self.from_scores = True
            for judgement in self.principles.values():
                judgement.verdicts, judgement.mass, judgement.massed = 0, 0.0, 0
        overall: list[tuple[float, float]] = []
        by_principle: dict[str, list[tuple[float, float]]] = {}
        for record in records:
            gold = record.gold_scores
            for verdict in record.principles:
                self._count(self.judgement(verdict.id), verdict.score, verdict.mass)
                if verdict.score is not None and verdict.id in gold:
                    by_principle.setdefault(verdict.id, []).append((verdict.score, gold[verdict.id]))
            if record.gold_score is not None:
                overall.append((record.score, record.gold_score))
        self.overall.moments += _moments(overall)
        for name, both in by_principle.items():
            self.principles[name].moments += _moments(both)

    @staticmethod
    def _count(judgement: Judgement, value: float | None, mass: float | None) -> None:
        judgement.verdicts += value is not None
        if value is not None and mass is not None:
            judgement.mass += mass
            judgement.massed += 1

    @staticmethod
    def _take(answer: bool | None, counter: Counter[bool]) -> None:
        if answer is not None:
            counter[answer] += 1


def _moments(both: list[tuple[float, float]]) -> NDArray[np.float64]:
    return agreement.moments(*np.array(both, dtype=np.float64).reshape(-1, 2).T)


def _batches(records: Iterable[R]) -> Iterable[list[R]]:
    stream = iter(records)
    while batch := list(islice(stream, _BATCH)):
        yield batch


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
