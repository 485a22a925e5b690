"""Training examples from rows: what each method reads of a label run's folder or of any file of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rlaif.data import formats
from rlaif.data.exports import EXPORTS, read_records
from rlaif.data.read import read_rows
from rlaif.data.rows import BadRow, Row, Turn
from rlaif.data.run_folder import read_run
from rlaif.data.shapes import BadRecordError, to_row
from rlaif.errors import UsageError
from rlaif.train.config import Labels
from rlaif.train.methods.base import RowKind

EXPORTED: Mapping[RowKind, str] = {"completions": "sft", "unpaired": "unpaired"}
"""The form of a label run that rows of a kind are read from, where that is not its pairs."""


@dataclass(frozen=True, slots=True)
class Example:
    """responses: (chosen, rejected), or one completion; each a text, or turns that begin and end with the assistant's. p: the
    probability that chosen is better, or that the completion is desirable. margin: the row's own ``margin``, 0 without one.
    Plain text has an empty prompt."""

    number: int
    id: str
    prompt: tuple[Turn, ...]
    responses: tuple[str | tuple[Turn, ...], ...]
    p: float = 1.0
    margin: float = 0.0


def read_examples(source: str, kind: RowKind, labels: Labels, limit: int | None = None) -> Iterator[Example | BadRow]:
    """Stream the source's rows as examples of a kind, bad ones marked and passed on.

    A pair is one example of ``pairs`` and two of ``unpaired``, and its better response one of ``completions``. Rows with
    ``prompt``, ``completion`` (and ``label``, ``p`` where unpaired) are read as they are, and for completions rows of ``text``.
    labels: ``hard`` rounds p to 0 or 1 and leaves out exact ties.

    Raises UsageError where ``read_rows`` does.
    """
    found = (example for row in _rows(source, kind, limit) for example in _examples(row, kind))
    if labels == "soft":
        return found
    return (_hardened(example) for example in found if isinstance(example, BadRow) or example.p != 0.5)


def _rows(source: str, kind: RowKind, limit: int | None) -> Iterator[Row | BadRow | Example]:
    path = Path(source)
    if kind in EXPORTED and (path / "run.json").is_file() and (path / "preferences.jsonl").is_file():
        read_run(path)
        # One completion per response, by all of its comparisons, not one per pair that it was in.
        records = EXPORTS[EXPORTED[kind]](read_records(path / "preferences.jsonl"))
        yield from islice((to_row(number, record) for number, record in enumerate(records, 1)), limit)
    elif kind == "completions" and path.is_file() and _holds_text(path):
        yield from islice(map(_text_example, formats.records(path)), limit)
    else:
        yield from read_rows(source, limit)


def _holds_text(path: Path) -> bool:
    first = next((record[1] for record in formats.records(path) if not isinstance(record, BadRow)), None)
    return isinstance(first, Mapping) and "text" in first and "prompt" not in first


def _text_example(record: BadRow | tuple[int, Any]) -> Example | BadRow:
    if isinstance(record, BadRow):
        return record
    number, columns = record
    text = columns.get("text") if isinstance(columns, Mapping) else None
    if not isinstance(text, str) or not text.strip():
        return BadRow(number, "text: must be a text that is not empty")
    return Example(number, str(columns.get("id", number)), (), (text,))


def _examples(row: Row | BadRow | Example, kind: RowKind) -> Iterator[Example | BadRow]:
    if isinstance(row, BadRow | Example):
        yield row
        return
    try:
        if "completion" in row.extra and not row.responses:
            if kind == "pairs":
                raise BadRecordError("a single completion; the method needs pairs: prompt, chosen, rejected")
            yield _completion(row, kind)
            return
        pair = _pair(row)
    except BadRecordError as error:
        yield BadRow(row.number, str(error))
        return
    if kind == "unpaired":
        for text, p in zip(pair.responses, (pair.p, 1 - pair.p), strict=True):
            yield Example(row.number, row.id, row.conversation, (text,), p)
    elif kind == "completions":
        yield Example(row.number, row.id, row.conversation, (pair.responses[pair.p < 0.5],))
    else:
        yield pair


def _pair(row: Row) -> Example:
    if row.preferred is None or len(row.responses) != 2:
        raise BadRecordError("no preference between two responses; label the rows first (rlaif label)")
    texts = tuple(_said(name, response.turns) for name, response in zip(("chosen", "rejected"), row.responses, strict=True))
    if texts[0] == texts[1]:
        raise BadRecordError("chosen and rejected are the same text")
    p, margin = _probability(row, "p_chosen", 1.0), row.extra.get("margin", 0.0)
    if isinstance(margin, bool) or not isinstance(margin, int | float):
        raise BadRecordError(f"margin: must be a number, found {margin!r}")
    return Example(row.number, row.id, row.conversation, texts, p, float(margin))


def _completion(row: Row, kind: RowKind) -> Example:
    said = row.extra["completion"]
    turns = (Turn(role="assistant", content=said),) if isinstance(said, str) else said
    if not isinstance(turns, list | tuple) or not all(isinstance(turn, Mapping) and "content" in turn for turn in turns):
        raise BadRecordError("completion: must be a text or a list of messages")
    text = _said("completion", tuple(Turn(role=turn.get("role", "assistant"), content=turn["content"]) for turn in turns))
    if kind == "completions":
        return Example(row.number, row.id, row.conversation, (text,))
    label = row.extra.get("label")
    if not isinstance(label, bool):
        raise BadRecordError(f"label: must be true or false (is the completion desirable?), found {label!r}")
    return Example(row.number, row.id, row.conversation, (text,), _probability(row, "p", float(label)))


def _said(name: str, turns: tuple[Turn, ...]) -> str | tuple[Turn, ...]:
    """What is trained on: the assistant's turns. Others may stand between them, but neither before nor after."""
    if not turns or turns[0]["role"] != "assistant" or turns[-1]["role"] != "assistant":
        found = ", ".join(turn["role"] for turn in turns) or "no turns"
        raise BadRecordError(f"{name}: must begin and end with an assistant turn to train on, found {found}")
    for turn in turns:
        if not isinstance(turn["content"], str) or (turn["role"] == "assistant" and not turn["content"]):
            raise BadRecordError(f"{name}: an empty response")
    return turns[0]["content"] if len(turns) == 1 else turns


def _probability(row: Row, column: str, default: float) -> float:
    p = row.extra.get(column, default)
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise BadRecordError(f"{column}: must be a number between 0 and 1, found {p!r}")
    return float(p)


def _hardened(example: Example | BadRow) -> Example | BadRow:
    if isinstance(example, BadRow):
        return example
    hard = float(example.p > 0.5)
    return Example(example.number, example.id, example.prompt, example.responses, hard, example.margin)


def check_examples(examples: list[Example], kind: RowKind, method: str, source: str) -> None:
    """Raise UsageError where there is nothing to learn: no example, or one class only."""
    if not examples:
        raise UsageError(f"{source}: no row that {method} can use; failures.jsonl in --out says why, row by row")
    ps = [example.p for example in examples]
    if kind == "unpaired" and (min(ps) >= 0.5 or max(ps) <= 0.5):
        which = "desirable" if max(ps) > 0.5 else "undesirable"
        raise UsageError(f"{source}: every completion is {which}; {method} needs desirable and undesirable ones")
    if kind == "pairs" and all(p == 0.5 for p in ps):
        raise UsageError(f"{source}: every pair is an exact tie (p_chosen .5), so there is nothing to learn")
