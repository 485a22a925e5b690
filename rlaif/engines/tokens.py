"""From segments to token ids, keeping trusted and untrusted text apart.

The chat template is rendered with a placeholder where each untrusted segment belongs. What stands between placeholders
is trusted and encoded as usual; untrusted text is encoded by a copy of the tokenizer that knows no added tokens, so
``<|im_end|>`` in a response, or ``<think>`` (added but not marked special), comes out as ordinary text. Pieces are joined
as ids: no content can merge with, or stand for, a token of the prompt's structure.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rlaif.engines.base import Failure, FailureReason, Prompt
from rlaif.engines.chat import TemplateRefusedError, render
from rlaif.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CUT_MARK = " [...] "
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
        self._skeleton = lru_cache(maxsize=4096)(self._render_skeleton)
        self._cut_mark = self._encode_trusted(CUT_MARK)

    def encode(self, prompt: Prompt, limit: int | None = None) -> Encoded | Failure:
        """Token ids of ``prompt``, at most ``limit`` of them.

        When the prompt is too long, its longest untrusted segments are cut in the middle to one common length, so that
        neither response of a comparison loses more than it must; trusted text is never cut. What cannot be made to fit
        this way is a ``too_long`` failure.
        """
        outside = [segment.text for message in prompt for segment in message.segments if not segment.trusted]
        inside = self._skeleton(_skeleton_key(prompt))
        contents = [self._encode_untrusted(text) for text in outside]
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

    def count(self, prompt: Prompt) -> int:
        """Length of the uncut prompt in tokens."""
        encoded = self.encode(prompt)
        assert isinstance(encoded, Encoded)  # without a limit nothing is too long
        return len(encoded.ids)

    def label_ids(self, choices: Sequence[str]) -> list[list[int]]:
        """The tokens that begin each choice, as written and after a space.

        Raises UsageError when two choices share a token: their probabilities could not be told apart.
        """
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

    def text(self, ids: Sequence[int]) -> str:
        """Token ids as readable text, special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def _first_token(self, text: str) -> int | None:
        return next((token for token in self._encode_trusted(text) if self.text([token]).strip()), None)

    def _encode_trusted(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False)) if text else []

    def _encode_untrusted(self, text: str) -> list[int]:
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

    def _render_skeleton(self, key: tuple[tuple[str, tuple[str | None, ...]], ...]) -> list[list[int]]:
        """Ids of the trusted text before, between and after the untrusted segments (``None`` in the key)."""
        trusted = "".join(text for _, texts in key for text in texts if text is not None)
        hole = "\ue000"
        while hole in trusted:
            hole += "\ue001"
        messages = [{"role": role, "content": "".join(hole if text is None else text for text in texts)} for role, texts in key]
        rendered = self._chat(messages)
        pieces = rendered.split(hole)
        if len(pieces) != 1 + sum(text is None for _, texts in key for text in texts):
            raise UsageError("the model's chat template drops or repeats message content, so it cannot carry this prompt")
        return [self._encode_trusted(piece) for piece in pieces]

    def _chat(self, messages: list[dict[str, str]]) -> str:
        if self._tokenizer.chat_template is None:
            return "\n\n".join(message["content"] for message in messages) + "\n\nAnswer:"
        try:
            return render(self._tokenizer, messages, add_generation_prompt=True, enable_thinking=False)
        except TemplateRefusedError as error:  # the usual refusal is of a system turn
            if messages[0]["role"] != "system" or len(messages) < 2:
                raise UsageError(f"the model's chat template refuses the prompt: {error}") from error
            joined = {"role": messages[1]["role"], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
            return self._chat([joined, *messages[2:]])


def _skeleton_key(prompt: Prompt) -> tuple[tuple[str, tuple[str | None, ...]], ...]:
    return tuple(
        (message.role, tuple(segment.text if segment.trusted else None for segment in message.segments)) for message in prompt
    )


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
