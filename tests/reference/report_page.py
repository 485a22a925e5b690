"""What an HTML parser and a plain reader make of a report: its tags, its scripts, and its column store unpacked."""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections import Counter
from html.parser import HTMLParser
from typing import Any

FORMS = {"u1": "B", "u2": "H", "u4": "I", "i2": "h", "f4": "f"}


class Page(HTMLParser):
    """tags: how many of each. attributes: (tag, name, value). scripts: the page's own; blocks: of the column store, by name."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.scripts: list[str] = []
        self.blocks: dict[str, Any] = {}
        self._into: list[str] | None = None
        self._block: tuple[str, str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        given = dict(attrs)
        if tag == "script":
            self._into = []
            self._block = (given["data-block"] or "", given["data-kind"] or "") if "data-block" in given else None

    def handle_endtag(self, tag: str) -> None:
        if tag == "script" and self._into is not None:
            content = "".join(self._into)
            if self._block is None:
                self.scripts.append(content)
            else:
                self.blocks[self._block[0]] = unpacked(content, self._block[1])
            self._into = None

    def handle_data(self, data: str) -> None:
        if self._into is not None:
            self._into.append(data)

    def text(self, number: int) -> Any:
        """The entry of a text."""
        block = max(at for at, first in enumerate(self.blocks["texts"]) if first <= number)
        return self.blocks[f"texts/{block}"][number - self.blocks["texts"][block]]


def unpacked(content: str, kind: str) -> Any:
    plain = gzip.decompress(base64.b64decode(content, validate=True))
    if kind == "json":
        return json.loads(plain)
    return [value for (value,) in struct.iter_unpack(f"<{FORMS[kind]}", plain)]
