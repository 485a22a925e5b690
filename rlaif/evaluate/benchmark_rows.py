"""Files of published benchmarks, told apart by their columns, as preference rows: the response that is right as ``chosen``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rlaif.data.read import named_columns, read_rows, source_records
from rlaif.data.rows import BadRow, Row
from rlaif.data.shapes import to_row
from rlaif.data.write import atomic_write, dumps
from rlaif.errors import UsageError
from rlaif.evaluate.rewardbench import TIES

SPLITS = ("subset", "category", "section")
Columns = Mapping[str, Any]
Reader = Callable[[Columns], Iterable[dict[str, Any]]]
"""From a record of the file to its rows; they may bring an ``id`` of their own."""


class Benchmark(NamedTuple):
    """rows: what ``rlaif label`` reads. by: the column whose values are the benchmark's sections, if it has any."""

    rows: Iterator[dict[str, Any]]
    by: str | None


def benchmark_rows(source: str, pairwise: bool = True) -> Benchmark | None:
    """The rows of a benchmark's file, or its dataset on the hub; None where it is none of those that are known.

    JudgeBench (Tan et al. 2024): ``question``, ``response_A``, ``response_B``, ``label``, in sections by ``source``. The
    Constitutional AI paper's evaluations (Bai et al. 2022): ``text_correct`` and ``text_incorrect`` as whole conversations,
    or a multiple-choice ``prompt`` with ``corrects`` and ``incorrects``, whose options become the responses. RewardBench
    (Lambert et al. 2024): ``chosen`` and ``rejected`` by ``subset``. RewardBench 2 (Malik et al. 2025): lists of both.
    MT-Bench's judgments (Zheng et al. 2023): ``conversation_a``, ``conversation_b`` and ``winner``, by the question's category;
    of a judgment on the first turn, the first turn alone.

    pairwise: of RewardBench 2, rows of the correct response with each wrong one, and none of ``Ties``, which only scores of
    single responses can be held against; otherwise rows of all responses.

    Raises UsageError where the file cannot be read, and on reaching a row that has not what the others have.
    """
    first = next(iter(source_records(source)), None)
    if first is None or isinstance(first, BadRow) or not isinstance(first[1], Mapping):
        return None
    for needed, read, by in _KNOWN:
        if needed <= first[1].keys():
            if read is _rewardbench2 and not pairwise:
                read = _listed
            return Benchmark(_rows(source, needed, read), by)
    return None


def open_rows(source: str, by: str | None, columns: str | None, limit: int | None) -> tuple[Iterator[Row | BadRow], str | None]:
    """The rows of a benchmark's file, of RewardBench 2 as lists, or of any other source, and the column to split them by.

    columns: where the user names them, that is what they are. Raises UsageError where the source cannot be read.
    """
    found = None if columns else benchmark_rows(source, pairwise=False)
    if found is None:
        return read_rows(source, limit, named_columns(columns)), by or split_of(source, columns)
    return itertools.islice((to_row(number, row) for number, row in enumerate(found.rows, 1)), limit), by or found.by


def split_of(source: str, columns: str | None) -> str | None:
    """The column that a file is split by where nothing else is said: one of ``SPLITS`` that holds texts."""
    first = next((row for row in read_rows(source, 20, named_columns(columns)) if isinstance(row, Row)), None)
    return next((name for name in SPLITS if first and isinstance(first.extra.get(name), str)), None)


def write_rows(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """The rows as JSONL. Raises UsageError where ``path`` holds something else."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(dumps(row) + "\n" for row in rows)
    if path.exists() and path.read_bytes() != text.encode():
        raise UsageError(f"{path}: is there already, and holds no rows of this benchmark; move it, or give another --out")
    with atomic_write(path) as file:
        file.write(text)


def _rows(source: str, needed: frozenset[str], read: Reader) -> Iterator[dict[str, Any]]:
    for record in source_records(source):
        if isinstance(record, BadRow):
            raise UsageError(f"{source}: row {record.number}: {record.detail}")
        number, columns = record
        try:
            if not isinstance(columns, Mapping) or not needed <= columns.keys():
                raise ValueError(f"expected the columns {', '.join(sorted(needed))}, as in row 1")
            name = str(columns.get("pair_id", columns.get("id", number)))
            yield from ({"id": name, **row} for row in read(columns))
        except (ValueError, TypeError) as error:
            raise UsageError(f"{source}: row {number}: {error}") from None


def _judgebench(columns: Columns) -> Iterator[dict[str, Any]]:
    sides = {"A>B": ("response_A", "response_B"), "B>A": ("response_B", "response_A")}
    if columns["label"] not in sides:
        raise ValueError(f"label is {columns['label']!r}; expected A>B or B>A")
    better, worse = (columns[side] for side in sides[columns["label"]])
    yield {"prompt": columns["question"], "chosen": better, "rejected": worse, "source": columns.get("source")}


def _conversations(columns: Columns) -> Iterator[dict[str, Any]]:
    yield {"chosen": columns["text_correct"], "rejected": columns["text_incorrect"]}


_OPTION = re.compile(r"^ ?(\([A-Z]\)) (.*)$", re.MULTILINE)
_OPTIONS = re.compile(r"(?:^ ?\([A-Z]\) .*(?:\n|\Z))+(?=\s*(?:The answer is:)?\s*\Z)", re.MULTILINE)
"""The list that a prompt ends in: a conversation before it may hold lists of its own."""


def _choice(columns: Columns) -> Iterator[dict[str, Any]]:
    listed = _OPTIONS.search(columns["prompt"])
    options = {f" {option[1]}": option[2] for option in _OPTION.finditer(listed[0])} if listed else {}
    right, wrong = (str(columns[side][0]) if columns[side] else "" for side in ("corrects", "incorrects"))
    if not listed or not {right, wrong} <= options.keys():
        raise ValueError(f"the prompt does not end in options with the labels {right!r} and {wrong!r}")
    yield {"prompt": listed.string[: listed.start()].strip(), "chosen": options[right], "rejected": options[wrong]}


def _rewardbench(columns: Columns) -> Iterator[dict[str, Any]]:
    yield {name: columns[name] for name in ("prompt", "chosen", "rejected", "subset", "chosen_model", "rejected_model")}


def _rewardbench2(columns: Columns) -> Iterator[dict[str, Any]]:
    right, wrong, kept = _lists(columns)
    if kept["subset"] != TIES:
        for number, (chosen, rejected) in enumerate(itertools.product(right, wrong)):
            name = str(columns["id"])
            own = {"prompt_id": name, "chosen": chosen, "rejected": rejected}
            yield {"id": f"{name}#{number}", "prompt": columns["prompt"], **own, **kept}


def _listed(columns: Columns) -> Iterator[dict[str, Any]]:
    right, wrong, kept = _lists(columns)
    responses = [{"text": text, "gold": {"overall": gold}} for texts, gold in ((right, 1), (wrong, 0)) for text in texts]
    yield {"id": str(columns["id"]), "prompt": columns["prompt"], "responses": responses, **kept}


def _lists(columns: Columns) -> tuple[list[str], list[str], dict[str, Any]]:
    """The correct responses, the wrong ones, and what else the rows of RewardBench 2 keep."""
    right, wrong = list(columns["chosen"]), list(columns["rejected"])
    if not right or not wrong or not all(isinstance(text, str) for text in right + wrong):
        raise ValueError("chosen and rejected: expected lists of texts")
    return right, wrong, {"subset": columns["subset"], "num_correct": len(right), "num_incorrect": len(wrong)}


CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
"""MT-Bench's, ten questions each, from number 81 on."""


def _mt_bench(columns: Columns) -> Iterator[dict[str, Any]]:
    number = columns["question_id"]
    known = isinstance(number, int) and 81 <= number <= 160
    turns = 2 * int(columns.get("turn") or 2)
    kept = {name: columns.get(name) for name in ("winner", "model_a", "model_b", "judge", "turn")}
    talks = {name: list(columns[name])[:turns] for name in ("conversation_a", "conversation_b")}
    yield {"id": str(number), **talks, **kept, "category": CATEGORIES[(number - 81) // 10] if known else "others"}


_KNOWN: tuple[tuple[frozenset[str], Reader, str | None], ...] = (
    (frozenset(("question", "response_A", "response_B", "label")), _judgebench, "source"),
    (frozenset(("text_correct", "text_incorrect")), _conversations, None),
    (frozenset(("prompt", "corrects", "incorrects")), _choice, None),
    (frozenset(("id", "prompt", "chosen", "rejected", "subset", "num_correct")), _rewardbench2, "subset"),
    (frozenset(("prompt", "chosen", "rejected", "subset", "chosen_model", "rejected_model")), _rewardbench, "subset"),
    (frozenset(("question_id", "conversation_a", "conversation_b", "winner")), _mt_bench, "category"),
)
