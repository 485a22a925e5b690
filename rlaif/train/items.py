"""From examples to token ids. Everything in a dataset is untrusted: it is encoded with special tokens off."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlaif.data.rows import Turn
from rlaif.engines.base import Failure, FailureReason, Message, Segment
from rlaif.engines.chat import render
from rlaif.engines.tokens import MIN_KEPT, Encoded, PromptEncoder
from rlaif.sample.policy import as_prompt
from rlaif.train.rows import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Tokens:
    """A prompt and a response as one sequence. start: where the response begins; it goes to the end. others: spans in it that
    the model did not say, of user and tool turns between its own; they are read and not learnt."""

    ids: list[int]
    start: int
    others: tuple[tuple[int, int], ...] = ()

    def after(self, prompt: list[int], limit: int) -> Tokens:
        """This response (``ids`` from ``start``) after a prompt, at most ``limit`` tokens in all."""
        shift = len(prompt) - self.start
        others = tuple((begin + shift, end + shift) for begin, end in self.others)
        return Tokens((prompt + self.ids[self.start :])[:limit], len(prompt), others)


@dataclass(frozen=True, slots=True)
class Item:
    """An example in tokens. sequences: (chosen, rejected), (completion,), or (completion, mismatched completion).
    reference: the reference policy's log-probability of each sequence's response, where the method wants it.
    weights: how much each member of an ensemble makes of the row; empty for as much as of any other."""

    sequences: tuple[Tokens, ...]
    p: float
    margin: float = 0.0
    reference: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    @property
    def prompt(self) -> tuple[int, ...]:
        first = self.sequences[0]
        return tuple(first.ids[: first.start])

    @property
    def length(self) -> int:
        return max(len(tokens.ids) for tokens in self.sequences)


class Encoder:
    """Encodes examples for one tokenizer, in at most ``context`` tokens each."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, context: int) -> None:
        self._prompts = PromptEncoder(tokenizer)
        self._context = context
        self._head = [] if tokenizer.cls_token_id is None else [tokenizer.cls_token_id]
        self._end = _turn_end(tokenizer)
        self._eos = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]

    def items(self, example: Example) -> list[Item] | Failure:
        """One item, or several for a plain text longer than the context. ``too_long`` where the prompt alone fills the
        context or cannot be shortened to leave room for the response."""
        if not example.prompt and isinstance(example.responses[0], str):
            return self._text(example.responses[0])
        said = [self._said(example.prompt, response) for response in example.responses]
        whole = self._encode(example.prompt, None)
        assert isinstance(whole, Encoded)  # without a limit nothing is too long
        room = self._context - len(self._head)
        if len(whole.ids) >= room:
            return Failure(FailureReason.TOO_LONG, f"a prompt of {len(whole.ids)} tokens, room for less than {room}")
        # The prompt gives way first, down to half of the context; what is still too much comes off the responses' ends.
        wanted = max(room - max(len(tokens.ids) for tokens in said), room // 2)
        prompt = whole if len(whole.ids) <= wanted else self._encode(example.prompt, wanted)
        if isinstance(prompt, Failure):
            if len(whole.ids) > room - MIN_KEPT:
                return prompt
            prompt = whole  # too short to be cut in its middle
        head = [*self._head, *prompt.ids]
        return [Item(tuple(tokens.after(head, self._context) for tokens in said), example.p, example.margin)]

    def _said(self, prompt: tuple[Turn, ...], response: str | tuple[Turn, ...]) -> Tokens:
        """The response alone, to the end of its last turn. What stands between two of its own turns is what the template writes
        there; each of its own turns counts to the token that ends it."""
        if isinstance(response, str):
            return Tokens([*self._content(response), *self._end], 0)
        before = self._encode((*prompt, *response[:-1]), None)
        assert isinstance(before, Encoded)
        spans = before.untrusted[len(prompt) :]  # one for each turn
        start = spans[0][0]
        own = [span for turn, span in zip(response, spans, strict=False) if turn["role"] == "assistant"]
        ends = [stop + len(self._end) * (before.ids[stop : stop + len(self._end)] == self._end) for _, stop in own]
        begins = [*(begin for begin, _ in own[1:]), len(before.ids)]
        others = [(end - start, begin - start) for end, begin in zip(ends, begins, strict=True)]
        ids = [*before.ids[start:], *self._content(response[-1]["content"]), *self._end]
        return Tokens(ids, 0, tuple(others))

    def _encode(self, conversation: tuple[Turn, ...], limit: int | None) -> Encoded | Failure:
        return self._prompts.encode(as_prompt(conversation), limit)

    def _content(self, text: str) -> list[int]:
        """Untrusted text as ids: no token of the chat's structure can come of it."""
        encoded = self._prompts.encode((Message("user", (Segment(text, False),)),))
        assert isinstance(encoded, Encoded)
        return encoded.ids[slice(*encoded.untrusted[0])]

    def _text(self, text: str) -> list[Item]:
        ids = [*self._content(text), *self._eos]
        pieces = [ids[at : at + self._context] for at in range(0, len(ids), self._context)]
        # The first token of a piece has nothing before it that could foretell it.
        return [Item((Tokens(piece, 1),), 1.0) for piece in pieces if len(piece) > 1]


def digest(items: Iterable[Item]) -> str:
    """Sixteen hexadecimal digits over all that training sees of the data."""
    found = hashlib.sha256()
    for item in items:
        sequences = [(tokens.ids, tokens.start, *tokens.others) for tokens in item.sequences]
        found.update(repr((sequences, item.p, item.margin)).encode())
    return found.hexdigest()[:16]


def _turn_end(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the chat template writes after an assistant's text, to the token that ends the turn; without a template the
    separator or end-of-text token."""
    last = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
    fallback = [] if last is None else [last]
    if tokenizer.chat_template is None:
        return fallback
    hole = "\ue000"
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": hole}]
    rendered = render(tokenizer, turns, add_generation_prompt=False)
    after = list(tokenizer.encode(rendered.rpartition(hole)[2], add_special_tokens=False))
    structural = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    ends = [place for place, token in enumerate(after) if token in structural]
    return after[: ends[0] + 1] if ends else fallback
