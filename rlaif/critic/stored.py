"""An answer as the store's bytes, and back: what is read is checked as strictly as a server's reply.

Label probabilities, of which there are most, are numbers in a fixed form with a checksum; the rest is JSON. Stores of the first
format hold JSON alone, which reads alike.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any
from zlib import crc32

from rlaif.engines.base import Choice, Failure, FailureReason, Generation

Answer = Choice | Failure | list[Generation]
ROUNDING = 1e-3
"""Nats by which a log-probability may be above 0."""
CHOICE = b"\x01"
"""What a stored ``Choice`` begins with, and no JSON does."""
_CHECKSUM = struct.Struct("<cI")


class DamagedError(ValueError):
    """What is stored is no answer that an engine could have given."""


def spelled(answer: Answer) -> bytes:
    """``answer`` as bytes. Raises DamagedError where it holds what has no place in them."""
    try:
        if isinstance(answer, Choice):
            raw, logprobs = answer.raw.encode("utf-8", "surrogatepass"), answer.logprobs
            counts = answer.mass, answer.prompt_tokens, answer.cut_tokens
            content = _numbers(len(logprobs)).pack(len(logprobs), *counts, *logprobs) + raw
            return _CHECKSUM.pack(CHOICE, crc32(content)) + content
        held: Any = [asdict(item) for item in answer] if isinstance(answer, list) else asdict(answer)
        return json.dumps(held, ensure_ascii=True, separators=(",", ":")).encode()
    except (struct.error, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(str(error)) from None


@cache
def _numbers(labels: int) -> struct.Struct:
    """How many labels there are, their mass, the tokens of the prompt and those cut, and the labels' log-probabilities."""
    return struct.Struct(f"<BdII{labels}d")


def read(stored: bytes) -> Answer:
    """The answer that the bytes spell. Raises DamagedError where they spell none: of another form, or with numbers that are no
    log-probabilities, no probability or no count."""
    if stored[:1] == CHOICE:
        return _choice_of(stored)
    try:
        content = json.loads(stored)
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
        return read(spelled(answer))
    except DamagedError as damage:
        return Failure(FailureReason.ENGINE_ERROR, f"the model's answer cannot be used: {damage}")


def _choice_of(stored: bytes) -> Choice:
    try:
        _, checksum = _CHECKSUM.unpack_from(stored)
        content = stored[_CHECKSUM.size :]
        if crc32(content) != checksum:
            raise DamagedError("its checksum is another")
        numbers = _numbers(content[0])
        _, mass, prompt_tokens, cut_tokens, *logprobs = numbers.unpack_from(content)
        raw = str(content[numbers.size :], "utf-8", "surrogatepass")
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise DamagedError(f"{type(error).__name__} {error}") from None
    return _possible(Choice(tuple(logprobs), mass, raw, prompt_tokens, cut_tokens))


def _choice(content: Mapping[str, Any]) -> Choice:
    counts = _count(content, "prompt_tokens"), _count(content, "cut_tokens")
    if not _number(content["mass"]):
        raise DamagedError(f"mass is {content['mass']!r}")
    return _possible(Choice(_logprobs(content), content["mass"], _text(content, "raw"), *counts))


def _possible(choice: Choice) -> Choice:
    """The choice, of whose numbers a model could have given each."""
    if not 0 <= choice.mass <= 1 + ROUNDING:  # nor is NaN
        raise DamagedError(f"mass is {choice.mass!r}")
    if not choice.logprobs:
        raise DamagedError("no log-probabilities")
    for value in choice.logprobs:
        if not value <= ROUNDING:  # -inf is a log-probability; NaN is not
            raise DamagedError(f"a log-probability is {value!r}")
    return choice


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
