"""The values that datasets hold, checked and made plain. What cannot be used says where it stands and what it is."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class BadRecordError(ValueError):
    """The record cannot be a row; the message is the detail of the BadRow."""


class NoShapeError(BadRecordError):
    """The record has no columns, or they fit no accepted shape."""


def plain(name: str, value: Any) -> Any:
    """``value`` as JSON can hold it: NaN becomes null, times ISO texts, bytes text or base64, arrays lists.

    Raises BadRecordError for text that no UTF-8 file can hold.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _clean(name, value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_clean(name, str(key)): plain(name, item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(name, item) for item in value]
    if isinstance(value, bytes | bytearray):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    as_list: Callable[[], Any] | None = getattr(value, "tolist", None)  # numpy arrays and scalars, without importing numpy
    if callable(as_list):
        return plain(name, as_list())
    if value != value:  # pandas.NaT
        return None
    as_iso: Callable[[], str] | None = getattr(value, "isoformat", None)
    return as_iso() if callable(as_iso) else _clean(name, str(value))


def text(name: str, value: Any) -> str:
    """``value``, which must be a text."""
    if not isinstance(value, str):
        raise BadRecordError(f"{name}: must be a text, found {kind(value)}")
    return _clean(name, value)


def sequence(value: Any) -> Sequence[Any] | None:
    """A list, a tuple or a numpy array as a sequence; None for anything else."""
    if isinstance(value, list | tuple):
        return value
    listed = value.tolist() if hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1 else None
    return listed if isinstance(listed, list) else None


def number(value: Any) -> float | None:
    """A finite number, also one spelled as a text (CSV holds nothing else); None for anything else."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    as_number: Callable[[], Any] | None = getattr(value, "item", None)
    value = as_number() if callable(as_number) else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def truth(value: Any) -> bool | None:
    """True or false, also as 0 and 1 or as a text of either; None for anything else."""
    if isinstance(value, str):
        value = {"true": 1, "false": 0}.get(value.strip().lower(), value)
    as_number = float(value) if isinstance(value, bool) else number(value)
    return None if as_number not in (0.0, 1.0) else bool(as_number)


def parsed(value: Any) -> Any:
    """What a text of JSON holds; any other text, and any other value, as it is."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def kind(value: Any) -> str:
    """What a value is, in words for a message."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "nothing (null)"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _clean(name: str, value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise BadRecordError(
                f"{name}: not valid UTF-8 (a byte or half of a surrogate pair that stands for no character)"
            ) from None
    return value
