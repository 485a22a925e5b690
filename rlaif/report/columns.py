"""A page's column store: columns and texts, gzipped and in base64, in blocks that the browser unpacks when it needs them.

Base64 has none of the characters that HTML or JavaScript could take for markup, whatever the texts hold.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from rlaif.data.write import dumps

Kind = Literal["u1", "u2", "u4", "i2", "f4", "json"]
CHUNK = 1 << 15
"""Characters of texts in one block: what is unpacked to show a pair."""


class Block(NamedTuple):
    """kind: little-endian numbers, by numpy's name, or JSON. content: base64 of gzip."""

    name: str
    kind: Kind
    content: str


def numbers(name: str, values: Sequence[Any], kind: Kind) -> Block:
    """A column of numbers; None becomes NaN, which only ``f4`` can hold."""
    return _block(name, kind, np.array(values, dtype=f"<{kind}").tobytes())


def data(name: str, value: Any) -> Block:
    """Anything that JSON can hold."""
    return _block(name, "json", dumps(value).encode())


class Texts:
    """Texts by number, each held once: conversations and responses that pairs share, critics' words.

    An entry is whatever JSON can hold. Entries come in blocks ``texts/0``, ``texts/1``, …; the block ``texts`` says which is
    the first of each.
    """

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._numbers: dict[bytes, int] = {}
        self._first: list[int] = []
        self._waiting: list[str] = []
        self._size = 0

    def number(self, entry: Any) -> int:
        """The entry's number, from 0."""
        text = dumps(entry)
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        if digest not in self._numbers:
            self._numbers[digest] = len(self._numbers)
            if not self._waiting:
                self._first.append(len(self._numbers) - 1)
            self._waiting.append(text)
            self._size += len(text)
            if self._size >= CHUNK:
                self._close()
        return self._numbers[digest]

    def finish(self) -> Iterable[Block]:
        """All blocks, when every entry has its number."""
        if self._waiting:
            self._close()
        return [numbers("texts", self._first, "u4"), *self.blocks]

    def _close(self) -> None:
        content = f"[{','.join(self._waiting)}]".encode()
        self.blocks.append(_block(f"texts/{len(self.blocks)}", "json", content))
        self._waiting, self._size = [], 0


def _block(name: str, kind: Kind, content: bytes) -> Block:
    return Block(name, kind, base64.b64encode(gzip.compress(content, 6, mtime=0)).decode())
