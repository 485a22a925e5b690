"""Several answers to one prompt under the names that public datasets give them, and which of them is known to be better."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from rlaif.data.values import BadRecordError, kind, number, sequence, truth

Columns = Mapping[str, Any]

LISTS = ("responses", "completions", "answers", "candidates", "generations", "outputs", "replies", "summaries")
"""Columns that may hold a prompt's answers in one list."""
PLAIN_LISTS = ("completions", "candidates", "generations")
"""Those that do, beside a ``prompt``, also without ratings or ranks. The others may be the right answers for a verifier."""
RATINGS = ("overall_score", "overall_rating", "rating", "score", "pm_score")
RANKS = ("rank", "ranking")
PARALLEL = {**dict.fromkeys(("ratings", "scores"), 1.0), **dict.fromkeys(("ranks", "rank", "ranking"), -1.0)}
"""Columns beside a list of answers with one number for each; -1 where a smaller number is better."""
TEXTS = ("text", "response", "answer", "completion", "output", "generation")
"""Keys of an object that is one of the answers: the one that holds its text."""

_NUMBERED = re.compile(
    r"(response|answer|completion|output|generation|candidate|reply|model_output|human_ref|conversation)_?(\d+|[ab])",
    re.IGNORECASE,
)
_INDEXES = ("better_response_id", "safer_response_id", "preferred_id", "choice")
_STRENGTHS = ("preference_strength", "overall_preference")
"""Columns with a number: negative where the first answer is better, positive where the second is (HelpSteer2 and 3)."""
_WINNERS = ("winner", "preferred", "preference", "better", "label")
"""Columns with a text that names the better answer, or a tie."""
_TIE = re.compile(r"tie\b.*|both.*|draw|equal|same|neither|none|a ?= ?b", re.IGNORECASE)
_OWNER = re.compile(r"(?:model|response|answer|assistant|completion|output|candidate)?[_ ]?(\w+)", re.IGNORECASE)


class Numbered(NamedTuple):
    """Columns with one answer each. names: theirs, in order. suffixes: what tells them apart, in lower case."""

    names: tuple[str, ...]
    suffixes: tuple[str, ...]


def numbered(names: Collection[str]) -> Numbered | None:
    """The columns that hold one answer each (``response_0``, ``response_1``; ``answer_a``, ``answer_b``), two or more."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        if match := _NUMBERED.fullmatch(name):
            groups.setdefault(match[1].lower(), []).append((match[2].lower(), name))
    for group in groups.values():
        if len(group) > 1:
            ordered = sorted(group, key=lambda pair: (pair[0].zfill(9), pair[1]))
            return Numbered(tuple(name for _, name in ordered), tuple(suffix for suffix, _ in ordered))
    return None


def tells(names: Collection[str], answers: Numbered) -> bool:
    """Whether one of the columns says which of the answers is better."""
    return any(name in names for name in (*_INDEXES, *_STRENGTHS, *_WINNERS, "labels")) or any(
        name.startswith("winner_") or name in _of_each(answers, names) for name in names
    )


def preferences(record: Columns, answers: Numbered) -> list[float] | None:
    """How good each of the answers is known to be, higher is better; None where the record does not say.

    Raises BadRecordError where it says so in a way that cannot be understood.
    """
    per_answer = _of_each(answers, record)
    if per_answer:
        values = [number(record[name]) for name in per_answer]
        sign = -1.0 if per_answer[0].lower().startswith("rank") else 1.0
        return None if None in values else [sign * value for value in values if value is not None]
    if len(answers.names) != 2:
        return None
    winners = {name.rpartition("_")[2].lower(): value for name, value in record.items() if name.startswith("winner_")}
    if winners:
        won = [truth(winners.get(suffix)) for suffix in answers.suffixes]
        if truth(winners.get("tie")) or won == [False, False]:
            return [0.5, 0.5]
        return None if None in won or won[0] == won[1] else [float(bool(value)) for value in won]
    for name in _INDEXES:
        if record.get(name) is not None:
            return _only(_place(name, record[name], answers))
    for name in _STRENGTHS:
        if record.get(name) is not None:
            strength = number(record[name])
            if strength is None:
                raise BadRecordError(f"{name}: must be a number, found {kind(record[name])}")
            return [0.5, 0.5] if strength == 0 else _only(int(strength > 0))
    if answers.names[0].lower().startswith("human_ref") and truth(record.get("labels")) is not None:
        return _only(0 if truth(record["labels"]) else 1)  # Stanford Human Preferences: 1 says that A is better
    for name in _WINNERS:
        if isinstance(record.get(name), str):
            return _named(name, record[name], answers)
    return None


def ratings(record: Columns, listed: Sequence[Any]) -> list[float | None] | None:
    """How good each answer of a list is known to be, higher is better: by ratings or ranks, its own or in a column beside."""
    for name, sign in PARALLEL.items():
        beside = sequence(record.get(name))
        if beside is not None:
            if len(beside) != len(listed):
                raise BadRecordError(f"{name}: has {len(beside)} numbers for {len(listed)} answers")
            return [None if (value := number(item)) is None else sign * value for item in beside]
    choice = number(record.get("choice"))
    if choice is not None and 0 <= choice < len(listed):
        return [float(index == choice) for index in range(len(listed))]
    for keys, sign in ((RATINGS, 1.0), (RANKS, -1.0)):
        for key in keys:
            own = [number(item.get(key)) if isinstance(item, Mapping) else None for item in listed]
            if any(value is not None for value in own):
                return [None if value is None else sign * value for value in own]
    return None


def _of_each(answers: Numbered, names: Collection[str]) -> list[str]:
    """The columns that rate each answer, in the answers' order: ``score_0``, ``rating_a``, ``response_0_score``; else none."""
    lower = {name.lower(): name for name in names}
    for what in ("score", "rating", "rank"):
        for form in ("{what}_{suffix}", "{what}{suffix}", "{name}_{what}"):
            wanted = [
                form.format(what=what, suffix=suffix, name=name.lower())
                for name, suffix in zip(answers.names, answers.suffixes, strict=True)
            ]
            if all(name in lower for name in wanted):
                return [lower[name] for name in wanted]
    return []


def _place(name: str, value: Any, answers: Numbered) -> int:
    """Which answer an index means: the one of that number, or of that place where the answers go by letters."""
    index = number(value)
    spelled = str(value).strip().lower() if index is None else str(int(index))
    if spelled in answers.suffixes:
        return answers.suffixes.index(spelled)
    if index is None or index not in (0, 1):
        raise BadRecordError(f"{name}: must say which of {', '.join(answers.names)} is better, found {value!r}")
    return int(index)


def _named(name: str, value: str, answers: Numbered) -> list[float] | None:
    choice = value.strip().strip("[]()").strip()
    if _TIE.fullmatch(choice):
        return [0.5, 0.5]
    if order := re.fullmatch(r"(\w)\s*(>+|<+)\s*(\w)", choice):
        choice = order[1] if order[2].startswith(">") else order[3]
    match = _OWNER.fullmatch(choice)
    if match and match[1].lower() in answers.suffixes:
        return _only(answers.suffixes.index(match[1].lower()))
    if name in ("label", "preference"):  # names that also stand for other things
        return None
    raise BadRecordError(f"{name}: must name one of {', '.join(answers.names)}, or a tie, found {value!r}")


def _only(better: int) -> list[float]:
    return [1.0 - better, float(better)]
