"""Other forms of a labelled dataset, made from its records: for KTO, for SFT, and as rankings.

Records of one source row are adjacent, so every export streams and holds one row at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from rlaif.data.columns import Record
from rlaif.data.records import PreferenceRecord, RankingRecord, ScoreRecord, SftRecord, UnpairedRecord, read_records
from rlaif.data.rows import Turn
from rlaif.data.write import JsonlWriter

Judged = PreferenceRecord | ScoreRecord


class Standing(NamedTuple):
    """One response of a row and how it did.

    number: which of the source row's responses it is, from 0. value: the mean probability that it beats a response that it was
    compared with, in [0, 1]; in score mode its score, in [-1, 1].
    """

    number: int
    turns: tuple[Turn, ...]
    value: float


class Standings(NamedTuple):
    """A source row's responses, best first; equal values keep the source's order."""

    id: str
    prompt: tuple[Turn, ...]
    responses: tuple[Standing, ...]


def standings(records: Iterable[Judged]) -> Iterator[Standings]:
    """One per source row."""
    for _, group in groupby(records, key=lambda record: record.row):
        values: dict[int, list[float]] = {}
        turns: dict[int, tuple[Turn, ...]] = {}
        for record in group:
            last = record
            for response in _responses(record):
                values.setdefault(response.number, []).append(response.value)
                turns[response.number] = response.turns
        responses = [Standing(number, turns[number], sum(each) / len(each)) for number, each in sorted(values.items())]
        responses.sort(key=lambda response: -response.value)
        yield Standings(last.id.rpartition(":")[0], last.prompt, tuple(responses))


def unpaired(records: Iterable[Judged]) -> Iterator[UnpairedRecord]:
    """A label for each response, as KTO reads them, from preference records.

    label: whether the response beats those it was compared with more often than not; ``p`` is how often. A response
    for which that is exactly even has no label and is left out.
    """
    for row in standings(records):
        for number, turns, p in sorted(row.responses):
            if p != 0.5:
                yield UnpairedRecord(id=f"{row.id}:{number}", prompt=row.prompt, completion=turns, label=p > 0.5, p=p)


def sft(records: Iterable[Judged]) -> Iterator[SftRecord]:
    """The best response of each row, with its value."""
    for row in standings(records):
        best = row.responses[0]
        yield SftRecord(id=f"{row.id}:{best.number}", prompt=row.prompt, completion=best.turns, value=best.value)


def rankings(records: Iterable[Judged]) -> Iterator[RankingRecord]:
    """The responses of each row best first, with their values and their indexes in the source row."""
    for row in standings(records):
        indexes, turns, values = zip(*row.responses, strict=True)
        yield RankingRecord(id=row.id, prompt=row.prompt, responses=turns, values=values, indexes=indexes)


EXPORTS: Mapping[str, Callable[[Iterable[Judged]], Iterator[Record]]] = {
    "unpaired": unpaired,
    "sft": sft,
    "rankings": rankings,
}
"""By the name that ``--export`` takes."""


def write_export(name: str, folder: Path) -> None:
    """Write ``NAME.jsonl`` and ``NAME.parquet`` into a run folder, from the records that it holds.

    In score mode ``sft`` and ``rankings`` go by the scores themselves, which every response has, paired or not.
    """
    from rlaif.data.parquet import write_parquet

    with JsonlWriter(folder / f"{name}.jsonl") as writer:
        for record in EXPORTS[name](_judged(name, folder)):
            writer.write(record)
    write_parquet(folder / f"{name}.jsonl", folder / f"{name}.parquet")


def _judged(name: str, folder: Path) -> Iterator[Judged]:
    scores = folder / "scores.jsonl"
    if scores.is_file() and name != "unpaired":
        return read_records(scores, ScoreRecord)
    return read_records(folder / "preferences.jsonl", PreferenceRecord)


def _responses(record: Judged) -> tuple[Standing, ...]:
    """The responses that a record judges, with what it says of each."""
    if isinstance(record, ScoreRecord):
        return (Standing(record.index, record.response, record.score),)
    return (
        Standing(record.chosen_index, record.chosen, record.p_chosen),
        Standing(record.rejected_index, record.rejected, 1.0 - record.p_chosen),
    )
