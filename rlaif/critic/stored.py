"""An answer as the store's text, and back: what is read is checked as strictly as a server's reply."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rlaif.engines.base import Choice, Failure, FailureReason, Generation

Answer = Choice | Failure | list[Generation]
ROUNDING = 1e-3
"""Nats by which a log-probability may be above 0."""


class DamagedError(ValueError):
    """What is stored is no answer that an engine could have given."""


def spelled(answer: Answer) -> str:
    """``answer`` as JSON."""
    content: Any = [asdict(item) for item in answer] if isinstance(answer, list) else asdict(answer)
    return json.dumps(content, ensure_ascii=True, separators=(",", ":"))


def read(text: str | bytes) -> Answer:
    """The answer that ``text`` spells. Raises DamagedError where it spells none: of another form, or with numbers that are no
    log-probabilities, no probability or no count."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise DamagedError("no JSON") from None
    try:
        if isinstance(content, list):
            if not content:
                raise DamagedError("no text")
            return [_generation(item) for item in content]
        if "reason" in content:
            return Failure(FailureReason(content["reason"]), _text(content, "detail"))
        return _choice(content)
    except DamagedError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"{type(error).__name__} {error}") from None


def checked(answer: Answer) -> Answer:
    """What an engine answered; in its place a failure where it could not be read again, as with a log-probability of NaN."""
    try:
        read(spelled(answer))
    except DamagedError as damage:
        return Failure(FailureReason.ENGINE_ERROR, f"the model's answer cannot be used: {damage}")
    return answer


def _choice(content: Mapping[str, Any]) -> Choice:
    mass = content["mass"]
    if not _number(mass) or not 0 <= mass <= 1 + ROUNDING:
        raise DamagedError(f"mass is {mass!r}")
    logprobs = _logprobs(content)
    if not logprobs:
        raise DamagedError("no log-probabilities")
    return Choice(logprobs, mass, _text(content, "raw"), _count(content, "prompt_tokens"), _count(content, "cut_tokens"))


def _generation(content: Mapping[str, Any]) -> Generation:
    ids, logprobs = tuple(content["token_ids"]), _logprobs(content)
    if len(ids) != len(logprobs) or not all(type(token) is int and token >= 0 for token in ids):
        raise DamagedError("token_ids and logprobs do not go together")
    if content["finish"] not in ("stop", "length"):
        raise DamagedError(f"finish is {content['finish']!r}")
    counted = _count(content, "prompt_tokens") if "prompt_tokens" in content else 0  # older stores did not count
    return Generation(_text(content, "text"), ids, logprobs, content["finish"], counted)


def _logprobs(content: Mapping[str, Any]) -> tuple[float, ...]:
    values = tuple(content["logprobs"])
    for value in values:
        if not _number(value) or value > ROUNDING:  # -inf is a log-probability; NaN is not
            raise DamagedError(f"a log-probability is {value!r}")
    return values


def _number(value: Any) -> bool:
    return type(value) in (int, float) and not math.isnan(value)


def _count(content: Mapping[str, Any], name: str) -> int:
    value = content[name]
    if type(value) is not int or value < 0:
        raise DamagedError(f"{name} is {value!r}")
    return value


def _text(content: Mapping[str, Any], name: str) -> str:
    value = content[name]
    if not isinstance(value, str):
        raise DamagedError(f"{name} is no text")
    return value
