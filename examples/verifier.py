"""A reward of your own: a function of the row's columns and the response, named by ``--verifier FILE.py:function``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def in_words(row: Mapping[str, Any], response: str, most: int = 20) -> float | None:
    """1 for a response of at most ``most`` words, less for every word beyond; none (missing data) for an empty one.

    row: the row's columns, with ``prompt`` (the last user turn's text), ``conversation`` and ``id``.
    """
    words = len(response.split())
    return min(1.0, most / words) if words else None
