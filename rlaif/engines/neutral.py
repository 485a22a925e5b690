"""For engines that take only text: break up what a chat template could mistake for structure."""

from __future__ import annotations

import re

_NAMES = "think|tool_call|tool_response|tools|start_of_turn|end_of_turn|bos|eos|pad|unk|mask|s|image|audio|video"
_SPELLING = re.compile(rf"<(?=[|｜]|(?i:/?(?:{_NAMES})>|</?sys>>))|\[(?=/?[A-Z_]{{3,}}\])")
"""The opening character of special tokens in the families of chat templates that are in use."""


def neutralise(text: str) -> str:
    """``text`` with a space after the first character of every special-token spelling: ``<|im_end|>`` → ``< |im_end|>``."""
    return _SPELLING.sub(lambda match: match.group() + " ", text)
