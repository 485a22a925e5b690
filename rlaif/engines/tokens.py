"""From segments to token ids, keeping trusted and untrusted text apart.

The chat template is rendered with a placeholder where each untrusted segment belongs. What stands between placeholders
is trusted and encoded as usual; untrusted text is encoded by a copy of the tokenizer that knows no added tokens, so
``<|im_end|>`` in a response, or ``<think>`` (added but not marked special), comes out as ordinary text. Pieces are joined
as ids: no content can merge with, or stand for, a token of the prompt's structure. Where a tokenizer gives plain texts other
ids by that than the model's own rendering has, the prompt is encoded as one text, unless its structure would not come out
of that as it is (``engines.together``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rlaif.engines.base import Failure, FailureReason, Generation, Message, Prompt, Segment
from rlaif.engines.reasoning import Reasoning, find_reasoning
from rlaif.engines.rendering import (
    NO_TEMPLATE_END,
    THINK,
    Frame,
    Rendered,
    Renderer,
    begun,
    framed,
    places,
    taken_apart,
    within_json,
)
from rlaif.engines.together import Together, agrees
from rlaif.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CUT_MARK = " [...] "
_TEMPLATE = 1024
"""Tokens that a chat template is taken to add at most, where that decides nothing but whether a dry run looks closely."""
TEXTS = 64
"""Untrusted texts whose ids are kept at hand: those of the rows that are being encoded. The questions about a row, which follow
one another, hold the same texts."""
MIN_KEPT = 16
"""A prompt in which an untrusted segment would have to shrink below this many tokens is ``too_long`` instead."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """ids: the whole prompt, ending where the answer begins. untrusted: half-open spans of ids that came from outside.
    cut: how many untrusted tokens were left out."""

    ids: list[int]
    untrusted: tuple[tuple[int, int], ...]
    cut: int = 0


class PromptEncoder:
    """Encodes prompts for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._plain = _without_added_tokens(tokenizer)
        structural = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
        if tokenizer.unk_token_id not in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id):
            structural.discard(tokenizer.unk_token_id)  # what stands for an unknown character is content
        self._forbidden = frozenset(structural)
        self.reasoning: Reasoning = find_reasoning(tokenizer)
        self.render = Renderer(tokenizer, self.reasoning.by_key)
        self.start = _start(tokenizer)
        self._together = None if agrees(tokenizer) else Together(tokenizer, structural)
        self._frames = lru_cache(maxsize=1024)(self._placed)
        self._labels = lru_cache(maxsize=64)(self._find_labels)
        self._around = lru_cache(maxsize=1024)(self._trusted_pieces)
        self._trusted = lru_cache(maxsize=16_384)(self.encode_trusted)
        self._untrusted = lru_cache(maxsize=TEXTS)(self.encode_untrusted)
        self._cut_mark = self.encode_trusted(CUT_MARK)

    def encode(
        self, prompt: Prompt, limit: int | None = None, *, thinking: bool = False, opened: bool = False, decided: bool = False
    ) -> Encoded | Failure:
        """Token ids of ``prompt``, at most ``limit`` of them.

        thinking: with the model's reasoning switched on. opened: besides, the reasoning is what comes next. decided: where the
        template opens the reasoning by itself, close it, so that the next token is the answer's.

        When the prompt is too long, its longest untrusted segments are cut in the middle to one common length, so that
        neither response of a comparison loses more than it must; trusted text is never cut. What cannot be made to fit
        this way is a ``too_long`` failure.
        """
        trusted, texts = self._apart(prompt, thinking, opened, decided)
        whole = self._together.whole(trusted, texts) if self._together else None
        if whole and (limit is None or len(self.start) + len(whole.ids) <= limit):
            shift = len(self.start)
            return Encoded([*self.start, *whole.ids], tuple((begin + shift, end + shift) for begin, end in whole.spans))
        inside, contents = self._pieces(trusted, texts)
        inside[0] = [*self.start, *inside[0]]
        cut = 0
        if limit is not None:
            room = limit - sum(map(len, inside))
            if sum(map(len, contents)) > room:
                cap = _common_cap([len(content) for content in contents], room)
                if cap < MIN_KEPT + len(self._cut_mark):
                    return Failure(FailureReason.TOO_LONG, f"{sum(map(len, inside + contents))} tokens, room for {limit}")
                before = sum(map(len, contents))
                contents = [self._cut(content, cap) for content in contents]
                cut = before - sum(map(len, contents))
        ids = list(inside[0])
        spans = []
        for content, following in zip(contents, inside[1:], strict=True):
            spans.append((len(ids), len(ids) + len(content)))
            ids += content
            ids += following
        return Encoded(ids, tuple(spans), cut)

    def _apart(self, prompt: Prompt, thinking: bool, opened: bool, decided: bool) -> tuple[tuple[str, ...], list[str]]:
        """What stands before, between and after the untrusted texts of the rendered prompt, and these texts.

        Prompts differ from one another in their untrusted texts alone, most of the time: what is around them is kept."""
        known = framed(prompt)
        if known is None:
            rendered = self._begun(prompt, thinking, opened, decided)
            return taken_apart(rendered, rendered.text)
        frame, contents = known
        trusted, order = self._frames(frame, thinking, opened, decided)
        return trusted, [within_json(contents[number], depth) for number, depth in order]

    def _placed(
        self, frame: Frame, thinking: bool, opened: bool, decided: bool
    ) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
        """What the template writes around the untrusted texts of a frame, and where it writes which (``rendering.places``)."""
        segments = [(role, tuple(Segment(text or "", text is not None) for text in texts)) for role, texts in frame]
        rendered = self._begun(tuple(Message(role, held) for role, held in segments), thinking, opened, decided)
        return places(rendered, rendered.text)

    def _begun(self, prompt: Prompt, thinking: bool, opened: bool, decided: bool) -> Rendered:
        """The prompt rendered up to where the model goes on."""
        _, thought, answer = begun(prompt)
        reasoning = self.reasoning
        rendered = self.render(prompt, thinking=thinking or opened or thought is not None)
        if answer and self._tokenizer.chat_template is None:  # which would begin the answer in words of our own
            rendered = replace(rendered, text=rendered.text.removesuffix(NO_TEMPLATE_END) + "\n\n")
        if thought is not None:
            return rendered.followed(reasoning.opening, thought, reasoning.closing + answer)
        if opened:
            return replace(rendered, text=rendered.text + reasoning.opening)
        closing = reasoning.closing if (decided or answer) and reasoning.opened else ""
        return replace(rendered, text=rendered.text + closing + answer)

    @property
    def manner(self) -> str:
        """What an engine's identity says of how prompts are encoded, where that is not as it always was."""
        parts = (" bos", self.start), (" reasoning-closed", self.reasoning.opened), (" as-one", self._together)
        return "".join(name for name, holds in parts if holds)

    def count(self, prompt: Prompt) -> int:
        """Length of the uncut prompt in tokens."""
        encoded = self.encode(prompt)
        assert isinstance(encoded, Encoded)  # without a limit nothing is too long
        return len(encoded.ids)

    def fit(self, prompt: Prompt, limit: int) -> int | Failure:
        """How many tokens are cut to make the prompt fit ``limit``, or why it cannot be made to."""
        if sum(len(message.text.encode("utf-8", "replace")) + len(message.more) for message in prompt) + _TEMPLATE <= limit:
            return 0  # no token is less than a byte
        encoded = self.encode(prompt, limit, decided=True)
        return encoded if isinstance(encoded, Failure) else encoded.cut

    def ids_for_label(self, prompt: Prompt, limit: int | None) -> list[int]:
        """What the model reads before a label; nothing where the prompt cannot be made to fit ``limit``."""
        encoded = self.encode(prompt, limit, decided=True)
        return [] if isinstance(encoded, Failure) else encoded.ids

    def ids(self, rendered: Rendered, start: int, end: int) -> list[int]:
        """Token ids of a stretch of the rendered text, given in characters; markers stand for what belongs there."""
        trusted, texts = taken_apart(rendered, rendered.text[start:end])
        if self._together and (whole := self._together.whole(trusted, texts)):
            return whole.ids
        inside, contents = self._pieces(trusted, texts)
        return [*inside[0], *(token for content, after in zip(contents, inside[1:], strict=True) for token in content + after)]

    def label_ids(self, choices: Sequence[str]) -> list[list[int]]:
        """The tokens that begin each choice, as written and after a space.

        Raises UsageError when two choices share a token: their probabilities could not be told apart.
        """
        return self._labels(tuple(choices))

    def _find_labels(self, choices: tuple[str, ...]) -> list[list[int]]:
        labels = [
            sorted({first for text in (choice, " " + choice) if (first := self._first_token(text)) is not None})
            for choice in choices
        ]
        owner: dict[int, str] = {}
        for choice, ids in zip(choices, labels, strict=True):
            for token in ids:
                if owner.setdefault(token, choice) != choice:
                    raise UsageError(
                        f"the labels {owner[token]!r} and {choice!r} begin with the same token {self.text([token])!r} "
                        "under the model's tokenizer; use labels that differ in their first token (letters, or digits up to 9)"
                    )
            if not ids:
                raise UsageError(f"the label {choice!r} has no token under the model's tokenizer")
        return labels

    @property
    def thought_end(self) -> str:
        """What the model writes where its reasoning ends."""
        return self.reasoning.closing.strip() or THINK[1]

    @property
    def thought_end_ids(self) -> list[int]:
        """The token that ends the reasoning, where it is one."""
        ids = self.encode_trusted(self.thought_end)
        return ids if len(ids) == 1 else []

    def thought(self, drawn: Generation) -> Generation:
        """A drawn reasoning with its text up to where it ends, if it does."""
        text = drawn.text.partition(self.thought_end)[0].removeprefix(THINK[0]).strip()
        return replace(drawn, text=text)

    def text(self, ids: Sequence[int]) -> str:
        """Token ids as readable text, special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def _first_token(self, text: str) -> int | None:
        return next((token for token in self.encode_trusted(text) if self.text([token]).strip()), None)

    def _pieces(self, trusted: tuple[str, ...], contents: Sequence[str]) -> tuple[list[list[int]], list[list[int]]]:
        """Ids of the trusted texts and of those between them. The inner lists are others' too: not to be changed."""
        return list(self._around(trusted)), [self._untrusted(content) for content in contents]

    def _trusted_pieces(self, trusted: tuple[str, ...]) -> list[list[int]]:
        """Ids of the texts between the markers."""
        around = self._together.pieces(trusted) if self._together else None
        return around or [self._trusted(text) for text in trusted]

    def encode_trusted(self, text: str) -> list[int]:
        """Text that the user or the template wrote: special tokens in it are special tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False)) if text else []

    def encode_untrusted(self, text: str) -> list[int]:
        """Text from outside: no token of the chat's structure can come of it."""
        ids: list[int] = self._plain.encode(text, add_special_tokens=False).ids
        if self._forbidden.isdisjoint(ids):
            return ids
        # A vocabulary may hold a special token's spelling as an ordinary piece. One character at a time cannot form it.
        spelled = [token for character in text for token in self._plain.encode(character, add_special_tokens=False).ids]
        return [token for token in spelled if token not in self._forbidden]

    def _cut(self, content: list[int], cap: int) -> list[int]:
        if len(content) <= cap:
            return content
        kept = cap - len(self._cut_mark)
        return [*content[: (kept + 1) // 2], *self._cut_mark, *content[len(content) - kept // 2 :]]


def _start(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What a text begins with that no chat template writes: the tokenizer's BOS, where it adds one by itself."""
    bos = tokenizer.bos_token_id
    if tokenizer.chat_template is not None or bos is None:
        return []
    return [bos] if list(tokenizer.encode("a"))[:1] == [bos] else []


def _common_cap(lengths: Sequence[int], room: int) -> int:
    """The greatest c with Σ min(length, c) ≤ room; negative where even c = 0 is too much."""
    left, many = room, len(lengths)
    for length in sorted(lengths):
        if length * many > left:
            return left // many
        left -= length
        many -= 1
    return max(lengths, default=0) if left >= 0 else -1


def _without_added_tokens(tokenizer: PreTrainedTokenizerBase) -> Any:
    """A ``tokenizers.Tokenizer`` like ``tokenizer``'s own, that matches no added token and adds none."""
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise UsageError(f"{type(tokenizer).__name__} has no fast version; rlaif needs one to keep untrusted text apart")
    state = json.loads(backend.to_str())
    state["added_tokens"] = []
    state["post_processor"] = state["truncation"] = state["padding"] = None
    return Tokenizer.from_str(json.dumps(state))
