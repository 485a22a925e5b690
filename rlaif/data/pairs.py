"""What names a pair of responses in any file that it stands in: its texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from rlaif.data.rows import Turn
from rlaif.data.write import dumps


def pair_key(prompt: Sequence[Turn], first: Sequence[Turn], second: Sequence[Turn]) -> tuple[bytes, bool]:
    """A name of the pair that is the same for both orders of its responses, and whether ``first`` is the one of the two that
    comes first by its text. Two responses that are the same have a name too, and ``first`` comes first."""
    asked, one, other = (_text(turns) for turns in (prompt, first, second))
    listed = sorted((one, other))
    return hashlib.sha256(dumps([asked, *listed]).encode()).digest(), one == listed[0]


def _text(turns: Sequence[Any]) -> str:
    return dumps([dict(sorted(turn.items())) for turn in turns])
