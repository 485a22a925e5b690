"""Special-token spellings in untrusted text, broken up for engines that can only send messages."""

from __future__ import annotations

import itertools
import re
import unicodedata
from functools import lru_cache

_NAMES = "think|tool_call|tool_response|tools|start_of_turn|end_of_turn|bos|eos|pad|unk|mask|s|image|audio|video"
_SPELLING = re.compile(rf"<(?=[|｜]|(?i:/?(?:{_NAMES})>|</?sys>>))|\[(?=/?[A-Z_]{{3,}}\])")
"""The opening character of special tokens in the families of chat templates that are in use."""


TEXTS = 256
"""Texts that are kept at hand: those of the rows whose questions are being sent."""


@lru_cache(maxsize=TEXTS)
def neutralise(text: str) -> str:
    """``text`` with a space after the first character of every special-token spelling: ``<|im_end|>`` → ``< |im_end|>``.

    Spellings in compatibility forms (``＜｜``) or with invisible characters between count too: a tokenizer that normalises
    its text would see them plain.
    """
    if text.isascii():
        return _SPELLING.sub(lambda match: match.group() + " ", text)
    plain = [(form, index) for index, character in enumerate(text) for form in _plain(character)]
    cuts = [0, *(plain[match.start()][1] + 1 for match in _SPELLING.finditer("".join(form for form, _ in plain))), len(text)]
    return " ".join(text[start:end] for start, end in itertools.pairwise(cuts))


def _plain(character: str) -> str:
    """What a normaliser may make of a character: its compatibility form, nothing for an invisible one."""
    return "" if unicodedata.category(character) == "Cf" else unicodedata.normalize("NFKC", character)
