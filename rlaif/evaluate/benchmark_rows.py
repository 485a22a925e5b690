"""Files of published benchmarks, told apart by their columns, as preference rows: the response that is right as ``chosen``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlaif.data.formats import records
from rlaif.data.rows import BadRow
from rlaif.data.write import atomic_write, dumps
from rlaif.errors import UsageError

Columns = Mapping[str, Any]


class Benchmark(NamedTuple):
    """rows: what ``rlaif label`` reads. by: the column whose values are the benchmark's sections, if it has any."""

    rows: Iterator[dict[str, Any]]
    by: str | None


def benchmark_rows(path: Path) -> Benchmark | None:
    """The rows of a benchmark's file; None where it is none of those that are known.

    JudgeBench (Tan et al. 2024): ``question``, ``response_A``, ``response_B``, ``label``, in sections by ``source``. The
    Constitutional AI paper's evaluations (Bai et al. 2022): ``text_correct`` and ``text_incorrect`` as whole conversations,
    or a multiple-choice ``prompt`` with ``corrects`` and ``incorrects``, whose options become the responses.

    Raises UsageError where the file cannot be read, and on reaching a row that has not what the others have.
    """
    first = next(iter(records(path)), None)
    if first is None or isinstance(first, BadRow) or not isinstance(first[1], Mapping):
        return None
    for needed, read, by in _KNOWN:
        if needed <= first[1].keys():
            return Benchmark(_rows(path, needed, read), by)
    return None


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """The rows as JSONL. Raises UsageError where ``path`` holds something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(dumps(row) + "\n" for row in rows)
    if path.exists() and path.read_bytes() != text.encode():
        raise UsageError(f"{path}: is there already, and holds no rows of this benchmark; move it, or give another --out")
    with atomic_write(path) as file:
        file.write(text)


def _rows(path: Path, needed: frozenset[str], read: Callable[[Columns], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for record in records(path):
        if isinstance(record, BadRow):
            raise UsageError(f"{path}: row {record.number}: {record.detail}")
        number, columns = record
        try:
            if not isinstance(columns, Mapping) or not needed <= columns.keys():
                raise ValueError(f"expected the columns {', '.join(sorted(needed))}, as in row 1")
            yield {"id": str(columns.get("pair_id", number)), **read(columns)}
        except (ValueError, TypeError) as error:
            raise UsageError(f"{path}: row {number}: {error}") from None


def _judgebench(columns: Columns) -> dict[str, Any]:
    sides = {"A>B": ("response_A", "response_B"), "B>A": ("response_B", "response_A")}
    if columns["label"] not in sides:
        raise ValueError(f"label is {columns['label']!r}; expected A>B or B>A")
    better, worse = (columns[side] for side in sides[columns["label"]])
    return {"prompt": columns["question"], "chosen": better, "rejected": worse, "source": columns.get("source")}


def _conversations(columns: Columns) -> dict[str, Any]:
    return {"chosen": columns["text_correct"], "rejected": columns["text_incorrect"]}


_OPTION = re.compile(r"^ ?(\([A-Z]\)) (.*)$", re.MULTILINE)
_OPTIONS = re.compile(r"(?:^ ?\([A-Z]\) .*(?:\n|\Z))+(?=\s*(?:The answer is:)?\s*\Z)", re.MULTILINE)
"""The list that a prompt ends in: a conversation before it may hold lists of its own."""


def _choice(columns: Columns) -> dict[str, Any]:
    listed = _OPTIONS.search(columns["prompt"])
    options = {f" {option[1]}": option[2] for option in _OPTION.finditer(listed[0])} if listed else {}
    right, wrong = (str(columns[side][0]) if columns[side] else "" for side in ("corrects", "incorrects"))
    if not listed or not {right, wrong} <= options.keys():
        raise ValueError(f"the prompt does not end in options with the labels {right!r} and {wrong!r}")
    return {"prompt": listed.string[: listed.start()].strip(), "chosen": options[right], "rejected": options[wrong]}


_KNOWN: tuple[tuple[frozenset[str], Callable[[Columns], dict[str, Any]], str | None], ...] = (
    (frozenset(("question", "response_A", "response_B", "label")), _judgebench, "source"),
    (frozenset(("text_correct", "text_incorrect")), _conversations, None),
    (frozenset(("prompt", "corrects", "incorrects")), _choice, None),
)
