"""What people answered in Argilla or Label Studio, as rows whose responses have gold.

Read are the files that these tools export of what ``--export argilla`` or ``label-studio`` gave them: Argilla's records with
``responses`` (``records.to_json``, or ``to_list``), Label Studio's JSON of tasks with ``annotations``. A question is a
principle's id or ``overall``. Of several people, a response's gold is the share of those who found it better.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rlaif.data.values import BadRecordError

FIRST, SECOND, TIE = "response_1", "response_2", "tie"
"""The answers to each question; the first two are also the names of the responses."""
ARGILLA, LABEL_STUDIO = ("fields", "responses"), ("data", "annotations")
"""Columns that tell these files."""


def argilla(record: Mapping[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    """The prompt and the responses, with gold, of an Argilla record. Raises BadRecordError."""
    return _row(record["fields"], _argilla_answers(record["responses"] or {}))


def label_studio(task: Mapping[str, Any]) -> tuple[Any, list[dict[str, Any]]]:
    """The prompt and the responses, with gold, of a Label Studio task. Annotations that were cancelled count for nothing.

    Raises BadRecordError."""
    return _row(task["data"], _label_studio_answers(task["annotations"] or ()))


def _row(shown: Any, answers: Iterable[tuple[str, Any]]) -> tuple[Any, list[dict[str, Any]]]:
    if not isinstance(shown, Mapping) or not {"prompt", FIRST, SECOND} <= shown.keys():
        raise BadRecordError(f"expected what rlaif exported: prompt, {FIRST} and {SECOND}")
    first: dict[str, list[float]] = {}
    for question, value in answers:
        if value not in (FIRST, SECOND, TIE):
            raise BadRecordError(f"{question}: expected {FIRST}, {SECOND} or {TIE}, found {value!r:.60}")
        first.setdefault(question, []).append({FIRST: 1.0, SECOND: 0.0, TIE: 0.5}[value])
    shares = {question: sum(votes) / len(votes) for question, votes in first.items()}
    return shown["prompt"], [
        {"text": shown[FIRST], "gold": shares},
        {"text": shown[SECOND], "gold": {question: 1.0 - share for question, share in shares.items()}},
    ]


def _argilla_answers(responses: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(responses, Mapping):
        raise BadRecordError("responses: expected an object with a list of answers for each question")
    for question, given in responses.items():
        for answer in given if isinstance(given, list) else [given]:
            if not isinstance(answer, Mapping) or "value" not in answer:
                raise BadRecordError(f"responses, {question}: expected objects with a value")
            yield str(question), answer["value"]


def _label_studio_answers(annotations: Any) -> Iterator[tuple[str, Any]]:
    try:
        for annotation in annotations:
            if not annotation.get("was_cancelled"):
                for result in annotation["result"]:
                    if result.get("type") == "choices":
                        (value,) = result["value"]["choices"]
                        yield str(result["from_name"]), value
    except (AttributeError, KeyError, TypeError, ValueError):
        raise BadRecordError("annotations: expected results of type choices with one choice each") from None
