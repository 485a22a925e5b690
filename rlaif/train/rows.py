"""Training examples from rows: what each method reads of a label run's folder or of any file of rows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from rlaif.critic.reasons import Reasons
from rlaif.data import formats
from rlaif.data.exports import EXPORTS
from rlaif.data.read import read_rows
from rlaif.data.records import OVERALL, FailureRecord, PreferenceRecord, read_records
from rlaif.data.rows import BadRow, Row, Turn
from rlaif.data.run_folder import read_run
from rlaif.data.shapes import DIALOGUES, to_row
from rlaif.data.values import BadRecordError, number, truth
from rlaif.errors import UsageError
from rlaif.train.kinds import Labels, RowKind

EXPORTED: Mapping[RowKind, str] = {"completions": "sft", "unpaired": "unpaired"}
"""The form of a label run that examples of a kind are read from, where that is not its pairs."""


@dataclass(frozen=True, slots=True)
class Example:
    """responses: (chosen, rejected), or one completion; each a text, or turns that begin and end with the assistant's. p: the
    probability that chosen is better, or that the completion is desirable. margin: the row's own ``margin``, 0 without one.
    principles: the same by each principle, where a critic said so; extra: the row's other columns. Plain text has an empty
    prompt."""

    number: int
    id: str
    prompt: tuple[Turn, ...]
    responses: tuple[str | tuple[Turn, ...], ...]
    p: float = 1.0
    margin: float = 0.0
    principles: Mapping[str, float] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)


def read_examples(
    source: str, kind: RowKind, labels: Labels, limit: int | None = None, columns: Mapping[str, str] | None = None
) -> Iterator[Example | BadRow]:
    """Stream the source's rows as examples of a kind, bad ones marked and passed on.

    A pair is one example of ``pairs`` and two of ``unpaired``, and its better response one of ``completions``. Rows with
    ``prompt``, ``completion`` (and ``label``, ``p`` where unpaired) are read as they are, and for completions rows of ``text``.
    labels: ``hard`` rounds p to 0 or 1 and leaves out exact ties.

    Raises UsageError where ``read_rows`` does.
    """
    examples = (example for row in _rows(source, kind, limit, columns or {}) for example in _examples(row, kind))
    if labels == "soft":
        return examples
    return (_hardened(example) for example in examples if isinstance(example, BadRow) or example.p != 0.5)


def _rows(source: str, kind: RowKind, limit: int | None, columns: Mapping[str, str]) -> Iterator[Row | BadRow | Example]:
    path = Path(source)
    if kind in EXPORTED and (path / "run.json").is_file() and (path / "preferences.jsonl").is_file():
        read_run(path)
        # One completion per response, by all of its comparisons, not one per pair that it was in.
        records = EXPORTS[EXPORTED[kind]](read_records(path / "preferences.jsonl", PreferenceRecord))
        yield from islice((to_row(number, record.to_dict()) for number, record in enumerate(records, 1)), limit)
    elif kind == "completions" and path.is_file() and ("text" in columns or _holds_text(path)):
        name = columns.get("text", "text")
        yield from islice((_text_example(record, name) for record in formats.records(path)), limit)
    else:
        yield from read_rows(source, limit, columns)


def _holds_text(path: Path) -> bool:
    first = next((record[1] for record in formats.records(path) if not isinstance(record, BadRow)), None)
    return isinstance(first, Mapping) and "text" in first and first.keys().isdisjoint(("prompt", *DIALOGUES))


def _text_example(record: BadRow | tuple[int, Any], name: str) -> Example | BadRow:
    if isinstance(record, BadRow):
        return record
    number, columns = record
    text = columns.get(name) if isinstance(columns, Mapping) else None
    if not isinstance(text, str) or not text.strip():
        return BadRow(number, f"{name}: must be a text that is not empty")
    return Example(number, str(columns.get("id", number)), (), (text,))


def _examples(row: Row | BadRow | Example, kind: RowKind) -> Iterator[Example | BadRow]:
    if isinstance(row, BadRow | Example):
        yield row
        return
    try:
        if len(row.responses) == 1:
            if kind == "pairs":
                raise BadRecordError("a single completion; the method needs pairs: prompt, chosen, rejected")
            yield _completion(row, _trained_turns("completion", row.responses[0].turns), kind)
            return
        if kind != "pairs" and not row.responses:
            raise BadRecordError(
                "no response; the method learns from prompt + completion, from messages that end with the answer, or from pairs"
            )
        pairs = _pairs(row)
    except BadRecordError as error:
        yield BadRow(row.number, str(error))
        return
    if kind == "unpaired":
        yield from _desirable(row, pairs)
    elif kind == "completions":
        yield replace(max(_desirable(row, pairs), key=lambda example: example.p), p=1.0)
    else:
        yield from pairs


def _pairs(row: Row) -> list[Example]:
    """An example of two responses, and of more one for every two that are known to differ (Ouyang et al. 2022 §3.5)."""
    values = _known(row)
    if len(row.responses) < 2 or values is None:
        raise BadRecordError("no preference between two responses; label the rows first (rlaif label)")
    p, margin = _probability(row, "p_chosen", 1.0), _margin(row)
    texts = [_trained_turns(name, response.turns) for name, response in zip(_names(row), row.responses, strict=True)]
    pairs = []
    for i, j in itertools.combinations(range(len(texts)), 2):
        if len(texts) > 2 and values[i] == values[j]:
            continue
        better, worse = (i, j) if values[i] >= values[j] else (j, i)
        if texts[better] == texts[worse]:
            if len(texts) == 2:
                raise BadRecordError("chosen and rejected are the same text")
            continue
        name = row.id if len(texts) == 2 else f"{row.id}:{i}-{j}"
        tied = values[i] == values[j]
        by_principle = _by_principle(row, better == row.preferred) if len(texts) == 2 else {}
        pair = (texts[better], texts[worse])
        pairs.append(Example(row.number, name, row.conversation, pair, 0.5 if tied else p, margin, by_principle, row.extra))
    if not pairs:
        raise BadRecordError("the responses are known to be equally good, so there is nothing to learn from them")
    return pairs


def _by_principle(row: Row, as_chosen: bool) -> dict[str, float]:
    """What a critic said by each principle, of a label run's rows: the probability that the better response is the better one.
    as_chosen: whether the row calls that response ``chosen``."""
    verdicts = row.extra.get("principles")
    found: dict[str, float] = {}
    for verdict in verdicts if isinstance(verdicts, list) else ():
        p = verdict.get("p") if isinstance(verdict, Mapping) else None
        if isinstance(p, int | float) and not isinstance(p, bool) and 0 <= p <= 1:
            found[str(verdict.get("id"))] = float(p) if as_chosen else 1.0 - p
    return found


def _known(row: Row) -> list[float] | None:
    """How good each response is known to be, higher is better; None where that is not known of all."""
    overall = [response.gold.get(OVERALL) for response in row.responses]
    values = [value for value in overall if value is not None]
    if len(values) == len(overall):
        return values
    return None if row.preferred is None else [float(index == row.preferred) for index in range(len(overall))]


def _names(row: Row) -> tuple[str, ...]:
    """What messages call the responses."""
    if len(row.responses) == 2 and row.preferred is not None:
        return ("chosen", "rejected") if row.preferred == 0 else ("rejected", "chosen")
    return tuple(f"response {number}" for number in range(1, len(row.responses) + 1))


def _desirable(row: Row, pairs: Sequence[Example]) -> Iterator[Example]:
    """Each response of the pairs, as desirable as it is likely to beat one that it was compared with."""
    shares: dict[str, list[float]] = {}
    responses: dict[str, str | tuple[Turn, ...]] = {}
    for pair in pairs:
        for response, p in zip(pair.responses, (pair.p, 1 - pair.p), strict=True):
            shares.setdefault(repr(response), []).append(p)
            responses[repr(response)] = response
    for name, values in shares.items():
        yield Example(row.number, row.id, row.conversation, (responses[name],), sum(values) / len(values))


def _completion(row: Row, completion: str | tuple[Turn, ...], kind: RowKind) -> Example:
    if kind == "completions":
        return Example(row.number, row.id, row.conversation, (completion,))
    label = truth(row.extra.get("label"))
    if label is None:
        raise BadRecordError(
            f"label: must be true or false, or 1 or 0 (is the completion desirable?), found {row.extra.get('label')!r}"
        )
    return Example(row.number, row.id, row.conversation, (completion,), _probability(row, "p", float(label)))


def _trained_turns(name: str, turns: tuple[Turn, ...]) -> str | tuple[Turn, ...]:
    """What is trained on: the assistant's turns. Others may stand between them, but neither before nor after."""
    if not turns or turns[0]["role"] != "assistant" or turns[-1]["role"] != "assistant":
        roles = ", ".join(turn["role"] for turn in turns) or "no turns"
        raise BadRecordError(f"{name}: must begin and end with an assistant turn to train on, found {roles}")
    for turn in turns:
        if turn["role"] == "assistant" and not turn["content"] and "tool_calls" not in turn:
            raise BadRecordError(f"{name}: an empty response")
    return turns[0]["content"] if len(turns) == 1 and turns[0].keys() == {"role", "content"} else turns


def _margin(row: Row) -> float:
    margin = row.extra.get("margin")
    if margin is None:
        return 0.0
    value = None if isinstance(margin, bool) else number(margin)
    if value is None:
        raise BadRecordError(f"margin: must be a number, found {margin!r}")
    return value


def _probability(row: Row, column: str, default: float) -> float:
    p = row.extra.get(column, default)
    if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
        raise BadRecordError(f"{column}: must be a number between 0 and 1, found {p!r}")
    return float(p)


def _hardened(example: Example | BadRow) -> Example | BadRow:
    if isinstance(example, BadRow):
        return example
    by_principle = {name: float(p > 0.5) for name, p in example.principles.items() if p != 0.5}
    return replace(example, p=float(example.p > 0.5), principles=by_principle)


def check_examples(
    examples: list[Example], kind: RowKind, method: str, source: str, failures: Sequence[FailureRecord] = ()
) -> None:
    """Raise UsageError where there is nothing to learn: no example, or one class only. failures: of the other rows."""
    if not examples:
        why = Reasons.of(failures).commonest(len(failures), "rows") or "it is empty"
        raise UsageError(f"{source}: no row that {method} can use: {why}")
    ps = [example.p for example in examples]
    if kind == "unpaired" and (min(ps) >= 0.5 or max(ps) <= 0.5):
        which = "desirable" if max(ps) > 0.5 else "undesirable"
        raise UsageError(f"{source}: every completion is {which}; {method} needs desirable and undesirable ones")
    if kind == "pairs" and all(p == 0.5 for p in ps):
        raise UsageError(f"{source}: every pair is an exact tie (p_chosen .5), so there is nothing to learn")
