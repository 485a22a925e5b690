"""Ready verifiers: rewards by rule for answers that can be checked. ``--verifier rlaif.rl.rewards.checks:numeric`` and so on.

Each takes a row (its columns, see ``rewards.verifier``) and a response. The right answer is in the row's column ``answer``, or
in the one that ``column`` names; where that holds no answer of the kind there is nothing to check, and the reward is missing.
The rewards are those of ReFT (Luong et al. 2024, arXiv 2401.08967): 1 for the right answer, .1 for one of the right form that
is wrong, 0 for none.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping
from typing import Any

RIGHT, WELL_FORMED, NONE = 1.0, 0.1, 0.0
_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)?(?:\.[0-9]+)?(?<=[0-9])(?:[eE][-+]?[0-9]+)?")
_FINAL = re.compile(r"####|\\boxed\{|\banswer(?:\s+is|:)|=", re.IGNORECASE)
"""What announces a final answer."""
_NAMED = re.compile(r"(?:\banswer(?:\s+is|:)|\\boxed\{)\s*\(?([A-Z])(?![\w']|(?<=[AI])\s+[a-z])", re.MULTILINE)
"""A letter right behind what announces it; an article or pronoun there is none."""
_LETTER = re.compile(r"\(([A-Z])\)|(?<![\w'])([A-Z])(?=[).:,]|\s*$)")


def exact(row: Mapping[str, Any], response: str, column: str = "answer") -> float | None:
    """1 where the response is the answer (or one of a list of answers), 0 otherwise.

    Case, runs of white space and a full stop at the end make no difference.
    """
    answers = _answers(row, column)
    return None if not answers else RIGHT if _plain(response) in map(_plain, answers) else NONE


def numeric(row: Mapping[str, Any], response: str, column: str = "answer", tolerance: float = 1e-12) -> float | None:
    """1 where the response's number differs from the answer by at most ``tolerance`` · max(1, |answer|); .1 for another
    number, 0 for none.

    The response's number is the first one behind the last ``####``, ``\\boxed{``, "answer is", "answer:" or "=" that has one
    behind it; without such a sign, the last number. The answer must hold one number and no more, there or in all: for "1/2" or
    "3 to 5" it is not clear which counts, so there is no reward.
    """
    answers = [parsed for answer in _answers(row, column) if (parsed := only_number(answer)) is not None]
    given = final_number(response)
    if not answers:
        return None
    if given is None:
        return NONE
    close = any(abs(given - answer) <= tolerance * max(1.0, abs(answer)) for answer in answers)
    return RIGHT if close else WELL_FORMED


def multiple_choice(row: Mapping[str, Any], response: str, column: str = "answer") -> float | None:
    """1 where the response chooses the answer's letter, .1 for another letter, 0 for none.

    A letter counts as ``(B)``, as ``B)``, ``B.``, ``B:`` or ``B,``, or at the very end; the first one behind the last "answer
    is" or "answer:" that has one behind it, otherwise the last one.
    """
    answers = [letter for answer in _answers(row, column) if (letter := final_letter(answer)) is not None]
    given = final_letter(response)
    if not answers:
        return None
    return NONE if given is None else RIGHT if given in answers else WELL_FORMED


def regular_expression(
    row: Mapping[str, Any], response: str, column: str = "answer", pattern: str | None = None
) -> float | None:
    """1 where ``pattern``, or the one in the row's column, is found in the response, 0 otherwise.

    Only use patterns of your own: some take for ever on some texts. Raises re.error for what is no pattern.
    """
    patterns = [pattern] if pattern is not None else _answers(row, column)
    return None if not patterns else RIGHT if any(re.search(each, response) for each in patterns) else NONE


def final_number(text: str) -> float | None:
    """The number that a text ends up with, see ``numeric``; commas between thousands are read over."""
    match = _final(_signed(text), _NUMBER)
    return None if match is None else float(match.group().replace(",", ""))


def only_number(text: str) -> float | None:
    """The number that an answer is: the only one behind its last sign, see ``numeric``, or without a sign the only one."""
    numbers = _NUMBER.findall(_signed(text)[max(_signs(text), default=0) :])
    return float(numbers[0].replace(",", "")) if len(numbers) == 1 else None


def final_letter(text: str) -> str | None:
    """The letter that a text chooses, see ``multiple_choice``."""
    text = text.replace("**", "")
    named = [*_NAMED.finditer(text)]
    if named:
        return named[-1].group(1)
    match = _final(text, _LETTER)
    return None if match is None else match.group(1) or match.group(2)


def _signed(text: str) -> str:
    """With the minus sign of typesetting as a hyphen."""
    return text.replace("\u2212", "-")


def _signs(text: str) -> list[int]:
    """Where what announces a final answer ends."""
    return [sign.end() for sign in _FINAL.finditer(text)]


def _final(text: str, wanted: re.Pattern[str]) -> re.Match[str] | None:
    behind = (wanted.search(text, start) for start in reversed(_signs(text)))
    announced = next((match for match in behind if match), None)
    if announced:
        return announced
    return next(iter(deque(wanted.finditer(text), maxlen=1)), None)


def _answers(row: Mapping[str, Any], column: str) -> list[str]:
    value = row.get(column)
    return [str(item) for item in (value if isinstance(value, list | tuple) else [value]) if item is not None]


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")
