"""A prompt encoded as one text, as the model's own rendering is, where no content can change the prompt's structure by that.

Many tokenizers join the end of a text with the line break after it (``.`` and ``\\n`` are one token of Qwen's), or mark the
start of every text (Llama 2, Gemma). Pieces that are encoded apart are then not the ids that the model was trained on.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PLAIN = ("hello", "hello.", "hello world", "(hello)", "7")
"""Texts on which tokenizers of the kinds above disagree with themselves, asked apart and together."""
_BEFORE, _AFTER = "tag>\n", "\n</tag"
_STAND_IN = "x"

Span = tuple[int, int]


class Whole(NamedTuple):
    """ids: of the whole text. spans: half-open spans of ids, one for each content; a token that is partly content is in it."""

    ids: list[int]
    spans: tuple[Span, ...]


class Together:
    """Encodes trusted and untrusted texts as one. structural: ids that stand for the structure of a prompt."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, structural: Collection[int]) -> None:
        self._tokenizer = tokenizer
        self._backend: Any = tokenizer.backend_tokenizer
        self._structural = frozenset(structural)
        self._wanted = lru_cache(maxsize=1024)(self._of_structure)

    def whole(self, trusted: Sequence[str], contents: Sequence[str]) -> Whole | None:
        """The ids of ``trusted[0] contents[0] trusted[1] …``; None where a content would become, or take in, a token of the
        prompt's structure, so that it must be encoded apart."""
        text, places = _joined(trusted, contents)
        ids, offsets = self._encoded(text)
        spans = tuple(_span(offsets, start, end) for start, end in places)
        inside = (ids[begin:end] for begin, end in spans)
        if not all(map(self._structural.isdisjoint, inside)) or self._swallowed(ids, offsets, places):
            return None
        kept = [token for token in ids if token in self._structural]
        return Whole(ids, spans) if kept == self._wanted(tuple(trusted)) else None

    def _of_structure(self, trusted: tuple[str, ...]) -> list[int]:
        """The structure's tokens in trusted texts."""
        return [token for piece in trusted for token in self._encoded(piece)[0] if token in self._structural]

    def pieces(self, trusted: Sequence[str]) -> list[list[int]] | None:
        """The ids of each trusted text as they stand around contents that merge with nothing; None where all merge."""
        stand_ins = [_STAND_IN] * (len(trusted) - 1)
        text, places = _joined(trusted, stand_ins)
        ids, offsets = self._encoded(text)
        spans = [_span(offsets, start, end) for start, end in places]
        whole = all(
            offsets[begin:end] and offsets[begin][0] >= start for (begin, end), (start, _) in zip(spans, places, strict=True)
        )
        if not whole or any(offsets[end - 1][1] > last for (_, end), (_, last) in zip(spans, places, strict=True)):
            return None
        edges = [0, *(edge for span in spans for edge in span), len(ids)]
        return [ids[edges[at] : edges[at + 1]] for at in range(0, len(edges), 2)]

    def _swallowed(self, ids: list[int], offsets: Sequence[Span], places: Sequence[Span]) -> bool:
        """Whether an unknown-token takes in text from both sides of a border: what stood there cannot be read from it."""
        unknown = self._tokenizer.unk_token_id
        if unknown is None or unknown not in ids:
            return False
        borders = [border for place in places for border in place]
        return any(
            token == unknown and start < border < end
            for token, (start, end) in zip(ids, offsets, strict=True)
            for border in borders
        )

    def _encoded(self, text: str) -> tuple[list[int], list[Span]]:
        if not text:
            return [], []
        encoded = self._backend.encode(text, add_special_tokens=False)
        return encoded.ids, encoded.offsets


def agrees(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether plain texts between line breaks have the same ids whether they are encoded apart or together."""

    def ids(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    return all(ids(_BEFORE) + ids(text) + ids(_AFTER) == ids(_BEFORE + text + _AFTER) for text in _PLAIN)


def _joined(trusted: Sequence[str], contents: Sequence[str]) -> tuple[str, list[Span]]:
    """The text, and where each content stands in it."""
    text, places = trusted[0], []
    for content, after in zip(contents, trusted[1:], strict=True):
        places.append((len(text), len(text) + len(content)))
        text += content + after
    return text, places


def _span(offsets: Sequence[Span], start: int, end: int) -> Span:
    """The tokens that hold any character of ``start`` to ``end``, or that would stand there."""
    first = bisect_right(offsets, start, key=itemgetter(1))  # both ends of the tokens' stretches never go back
    return first, bisect_left(offsets, end, first, key=itemgetter(0))
