"""How a server wants to be spoken to, learned from what it refuses: servers differ in the names and limits of parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

FEWER = (5, 2)
"""Top log-probabilities to try where a server refuses more without naming its limit."""


class Dialect:
    """top: log-probabilities per place. renamed: ``max_completion_tokens`` in place of ``max_tokens``. label_tokens: how many
    are asked for a label, which some models put behind a line break."""

    TOP: ClassVar[int] = 20
    WAY: ClassVar[int] = 4

    def __init__(self) -> None:
        self.top = self.TOP
        self.renamed = False
        self.label_tokens = 1

    def spoken(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body as this server takes it."""
        spoken = dict(body)
        if "top_logprobs" in spoken:
            spoken["top_logprobs"] = self.top
        if self.renamed:
            spoken["max_completion_tokens"] = spoken.pop("max_tokens")
        return spoken

    def learn(self, refusal: str, spoken: Mapping[str, Any]) -> None:
        """Take in why the server refused ``spoken``."""
        top = spoken.get("top_logprobs")
        if "max_completion_tokens" in refusal and "max_tokens" in spoken:
            self.renamed = True
        elif top and top == self.top and "logprobs" in refusal:
            named = [int(number) for number in re.findall(r"(?<![\w.])\d{1,3}(?![\w.]*\d)", refusal)]
            allowed = max((number for number in named if 0 < number < top), default=0)
            self.top = allowed or next((fewer for fewer in FEWER if fewer < top), top)
