"""A label run's figures while it goes on: what is written is tallied, and what is wrong with it is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Generic, TypeVar

from rlaif.data.columns import Record
from rlaif.data.records import FailureRecord, PreferenceRecord, ScoreRecord
from rlaif.evaluate.agreement import accuracy
from rlaif.evaluate.judgement import Quality
from rlaif.evaluate.quality import Tally
from rlaif.label.pipeline import Counts, Writer

R = TypeVar("R", bound=Record)


class _Seen(Generic[R]):
    """A writer that also keeps what was written since it was last emptied. told: who else hears of it."""

    def __init__(self, writer: Writer[R], told: Callable[[R], None] | None = None) -> None:
        self._writer = writer
        self._told = told
        self.records: list[R] = []

    def write(self, record: R) -> None:
        self._writer.write(record)
        self.records.append(record)
        if self._told:
            self._told(record)


class Watch:
    """facts: what ``run.json`` says of how the run was asked, ``mode`` included. told: of each preference, as it is written."""

    def __init__(self, facts: Mapping[str, Any], told: Callable[[PreferenceRecord], None] | None = None) -> None:
        self._facts = facts
        self._told = told
        self._tally = Tally(facts)
        self._preferences: _Seen[PreferenceRecord] | None = None
        self._scores: _Seen[ScoreRecord] | None = None
        self._failures: _Seen[FailureRecord] | None = None
        self._reasons: Counter[str] = Counter()

    def preferences(self, writer: Writer[PreferenceRecord]) -> Writer[PreferenceRecord]:
        """``writer``, watched."""
        self._preferences = _Seen(writer, self._told)
        return self._preferences

    def scores(self, writer: Writer[ScoreRecord]) -> Writer[ScoreRecord]:
        """``writer``, watched."""
        self._scores = _Seen(writer)
        return self._scores

    def failures(self, writer: Writer[FailureRecord]) -> Writer[FailureRecord]:
        """``writer``, watched."""
        self._failures = _Seen(writer)
        return self._failures

    def quality(self, counts: Counts) -> Quality:
        """The figures so far. Rows must have been written in whole."""
        if self._preferences:
            self._tally.add_preferences(self._preferences.records)
            self._preferences.records.clear()
        if self._scores:
            self._tally.add_scores(self._scores.records)
            self._scores.records.clear()
        if self._failures:
            self._reasons.update(failure.reason for failure in self._failures.records)
            self._failures.records.clear()
        run = {**self._facts, "counts": asdict(counts)}
        return self._tally.quality(run, dict(self._reasons.most_common()))


def curves(quality: Quality) -> dict[str, float]:
    """The figures so far by name, overall and (as ``ID/flips``) by principle; NaN for what is not known."""
    counts = quality.counts
    figures = {"verdicts": counts["verdicts"], "failed": counts["failed"], "from_the_store": counts["cached"]}
    rates = {"flips": quality.position.flip_rate.value, "agreement": accuracy(quality.overall.table).value}
    for principle in quality.principles:
        rates[f"{principle.id}/agreement"] = accuracy(principle.table).value
        rates[f"{principle.id}/flips"] = principle.position.flip_rate.value
    return {**figures, **rates}
