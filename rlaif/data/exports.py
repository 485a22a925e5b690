"""Other forms of a labelled dataset, made from its records: for KTO, for SFT, and as rankings.

Records of one source row are adjacent, so every export streams and holds one row at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from rlaif.data.rows import Turn

Record = Mapping[str, Any]


class Standing(NamedTuple):
    """One response of a row and how it did.

    place: its index in the source row. value: the mean probability that it beats a response it was compared with, in
    [0, 1]; in score mode its score, in [-1, 1].
    """

    place: int
    turns: list[Turn]
    value: float


class Standings(NamedTuple):
    """A source row's responses, best first; equal values keep the source's order."""

    id: str
    prompt: list[Turn]
    responses: tuple[Standing, ...]


def standings(records: Iterable[Record]) -> Iterator[Standings]:
    """One per source row, from preference records or from score records."""
    for _, group in groupby(records, key=lambda record: record["row"]):
        values: dict[int, list[float]] = {}
        turns: dict[int, list[Turn]] = {}
        for record in group:
            last = record
            for index, said, value in _sides(record):
                values.setdefault(index, []).append(value)
                turns[index] = said
        responses = [Standing(index, turns[index], sum(held) / len(held)) for index, held in sorted(values.items())]
        responses.sort(key=lambda response: -response.value)
        yield Standings(last["id"].rpartition(":")[0], last["prompt"], tuple(responses))


def unpaired(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """``prompt``, ``completion``, ``label`` as KTO reads them, one per response, from preference records.

    label: whether the response beats those it was compared with more often than not; ``p`` is how often. A response
    for which that is exactly even has no label and is left out.
    """
    for row in standings(records):
        for index, turns, p in sorted(row.responses):
            if p != 0.5:
                yield {"id": f"{row.id}:{index}", "prompt": row.prompt, "completion": turns, "label": p > 0.5, "p": round(p, 6)}


def sft(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """``prompt`` and ``completion``: the best response of each row, with its value."""
    for row in standings(records):
        best = row.responses[0]
        yield {
            "id": f"{row.id}:{best.place}",
            "prompt": row.prompt,
            "completion": best.turns,
            "value": round(best.value, 6),
        }


def rankings(records: Iterable[Record]) -> Iterator[dict[str, Any]]:
    """``prompt`` and ``responses`` (message lists) best first, with their ``values`` and ``indexes`` in the source row."""
    for row in standings(records):
        yield {
            "id": row.id,
            "prompt": row.prompt,
            "responses": [response.turns for response in row.responses],
            "values": [round(response.value, 6) for response in row.responses],
            "indexes": [response.place for response in row.responses],
        }


EXPORTS: Mapping[str, Callable[[Iterable[Record]], Iterator[dict[str, Any]]]] = {
    "unpaired": unpaired,
    "sft": sft,
    "rankings": rankings,
}
"""By the name that ``--export`` takes."""


def write_export(name: str, folder: Path) -> None:
    """Write ``NAME.jsonl`` and ``NAME.parquet`` into a run folder, from the records that it holds.

    In score mode ``sft`` and ``rankings`` go by the scores themselves, which every response has, paired or not.
    """
    from rlaif.data.write import JsonlWriter, write_parquet

    scores = folder / "scores.jsonl"
    source = scores if scores.is_file() and name != "unpaired" else folder / "preferences.jsonl"
    with JsonlWriter(folder / f"{name}.jsonl") as writer:
        for record in EXPORTS[name](read_records(source)):
            writer.write(record)
    write_parquet(folder / f"{name}.jsonl", folder / f"{name}.parquet")


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a JSONL file that we wrote; none where there is no such file."""
    if path.is_file():
        with path.open(encoding="utf-8", newline="\n") as lines:
            yield from map(json.loads, lines)


def _sides(record: Record) -> list[tuple[int, list[Turn], float]]:
    if "response" in record:
        return [(record["index"], record["response"], record["score"])]
    p = record["p_chosen"]
    return [
        (record["chosen_index"], record["chosen"], p),
        (record["rejected_index"], record["rejected"], 1.0 - p),
    ]
