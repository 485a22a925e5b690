"""Known preferences from a file of their own, for a run whose source had none, or others: people's answers, mostly."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rlaif.data.pairs import pair_key
from rlaif.data.read import read_rows
from rlaif.data.records import OVERALL, GoldMargin, PreferenceRecord, beside_overall, read_records
from rlaif.data.rows import BadRow, Row
from rlaif.errors import UsageError

Margins = dict[str, float]
"""By question (``overall`` or a principle's id): how much better the response is that comes first by its text."""


def labelled_records(run_folder: Path, gold: str | None = None) -> Iterator[PreferenceRecord]:
    """A run's preferences with their labels: the source's own, or those of ``gold``, any source of rows with known preferences,
    for the pairs that it holds, whatever their order there, and none for the others.

    Raises UsageError where ``gold`` cannot be read, says nothing, or holds none of the pairs.
    """
    records = read_records(run_folder / "preferences.jsonl", PreferenceRecord)
    return records if gold is None else _replaced(records, known(gold), gold, run_folder)


def known(source: str) -> dict[bytes, Margins]:
    """By pair (``pair_key``), what a source of rows says; of a pair that it holds several times, the mean.

    Raises UsageError where it says nothing of any.
    """
    said: dict[bytes, dict[str, list[float]]] = {}
    for row in read_rows(source):
        if isinstance(row, BadRow):
            raise UsageError(f"{source}: row {row.number}: {row.detail}")
        for first in range(len(row.responses)):
            for second in range(first + 1, len(row.responses)):
                name, in_order = pair_key(row.conversation, row.responses[first].turns, row.responses[second].turns)
                for question, margin in _margins(row, first, second).items():
                    said.setdefault(name, {}).setdefault(question, []).append(margin if in_order else -margin)
    if not said:
        raise UsageError(f"{source}: no pair has a known preference: gold of both responses, or chosen and rejected")
    return {name: {question: sum(margins) / len(margins) for question, margins in by.items()} for name, by in said.items()}


def not_random(source: str) -> int:
    """How many of a source's rows ``rlaif annotate`` did not choose at random: what holds of them need not hold of all."""
    ways = [str(row.extra.get("choose", "random")) for row in read_rows(source) if isinstance(row, Row)]
    return sum(way != "random" for way in ways)


def _margins(row: Row, first: int, second: int) -> Margins:
    better, worse = row.responses[first].gold, row.responses[second].gold
    margins = {name: better[name] - worse[name] for name in better if name in worse}
    if OVERALL not in margins and row.preferred in (first, second):
        margins[OVERALL] = 1.0 if row.preferred == first else -1.0
    return margins


def _replaced(
    records: Iterator[PreferenceRecord], gold: dict[bytes, Margins], source: str, run_folder: Path
) -> Iterator[PreferenceRecord]:
    found = 0
    for record in records:
        name, in_order = pair_key(record.prompt, record.chosen, record.rejected)
        margins = {question: margin if in_order else -margin for question, margin in gold.get(name, {}).items()}
        found += bool(margins)
        overall = margins.get(OVERALL, _weighted(record, margins))
        if overall is not None:
            margins[OVERALL] = overall
        yield replace(record, gold=tuple(GoldMargin(id=question, margin=margin) for question, margin in margins.items()))
    if not found:
        raise UsageError(
            f"--gold {source}: holds none of the pairs of {run_folder}: prompts and responses must be the same texts"
        )


def _weighted(record: PreferenceRecord, margins: Margins) -> float | None:
    """The mean over the principles by weight, where all that the pair was judged by have a label."""
    weights = {beside_overall(verdict.id): verdict.weight for verdict in record.principles}
    total = sum(weights.values())
    if not total or any(name not in margins for name in weights):
        return None
    return sum(weight * margins[name] for name, weight in weights.items()) / total
