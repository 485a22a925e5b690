"""Which of a row's columns look like prompts or answers, and are not read."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from rlaif.data.rows import Row
from rlaif.data.shapes import LIKE_PROMPT, LIKE_RESPONSE
from rlaif.data.values import number

LONG = 200
"""Characters from which a text of an unknown name is taken for one that somebody meant to be read."""

_RIDES = re.compile(
    r"(.*_)?(ids?|source|models?|url|tags?|task|category|type|lang|language|label|rationales?|reason(ing)?|critiques?|"
    r"explanation|justification|feedback|comments?|critic|metadata|tools|text|completion)",
    re.IGNORECASE,
)


def unread(row: Row) -> list[str]:
    """The columns that are kept unread and look like prompts or answers; not those that repeat what was read."""
    turns = [*row.conversation, *(turn for response in row.responses for turn in response.turns)]
    known = {_joined(turn["content"]) for turn in turns}
    return [name for name, value in row.extra.items() if not _RIDES.fullmatch(name) and _looks_unread(name, value, known)]


def _looks_unread(name: str, value: Any, known: Collection[str]) -> bool:
    near = bool(LIKE_PROMPT.search(name) or LIKE_RESPONSE.fullmatch(name))
    if isinstance(value, list):
        messages = [item for item in value if isinstance(item, Mapping) and {"role", "from"} & item.keys()]
        contents = [item.get("content", item.get("value")) for item in messages] if messages else value
        return (near or bool(messages)) and any(_joined(text) not in known for text in contents if isinstance(text, str))
    if not isinstance(value, str) or not value.strip() or number(value) is not None:
        return False
    return (near or len(value) >= LONG) and _joined(value) not in known


def _joined(text: str) -> str:
    return " ".join(text.split())
