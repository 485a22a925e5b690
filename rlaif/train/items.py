"""From examples to token ids. Everything in a dataset is untrusted: it is encoded with special tokens off."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlaif.data.rows import Turn
from rlaif.engines.base import Failure, FailureReason
from rlaif.engines.chat import render
from rlaif.engines.reasoning import split_reasoning
from rlaif.engines.rendering import Rendered
from rlaif.engines.tokens import MIN_KEPT, Encoded, PromptEncoder
from rlaif.errors import UsageError
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
    weights: how much each member of an ensemble makes of the row; empty for as much as of any other. group: names the
    conversation before it was cut to leave room for a response, or the whole text of a piece. labels: for each label of a
    critic's question, the tokens that begin it."""

    sequences: tuple[Tokens, ...]
    p: float
    margin: float = 0.0
    reference: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    group: str = ""
    labels: tuple[tuple[int, ...], ...] = ()

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
        head = [] if tokenizer.cls_token_id is None else [tokenizer.cls_token_id]
        self._head = [] if self._prompts.start == head else head
        self._end_text, self._end = turn_end(tokenizer)
        self._eos = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]

    def items(self, example: Example) -> list[Item] | Failure:
        """One item, or several for a plain text longer than the context. ``too_long`` where the prompt alone fills the
        context or cannot be shortened to leave room for the response."""
        if not example.prompt and isinstance(example.responses[0], str):
            return self._text(example.responses[0])
        responses = [turns_of(response) for response in example.responses]
        thinking = any(self._thought(turn) is not None for turns in responses for turn in turns)
        encoded = [self._response(example.prompt, turns, thinking) for turns in responses]
        whole = self._encode(example.prompt, None, thinking)
        assert isinstance(whole, Encoded)  # without a limit nothing is too long
        room = self._context - len(self._head)
        if len(whole.ids) >= room:
            return Failure(FailureReason.TOO_LONG, f"a prompt of {len(whole.ids)} tokens, room for less than {room}")
        # The prompt gives way first, down to half of the context; what is still too much comes off the responses' ends.
        wanted = max(room - max(len(tokens.ids) for tokens in encoded), room // 2)
        prompt = whole if len(whole.ids) <= wanted else self._encode(example.prompt, wanted, thinking)
        if isinstance(prompt, Failure):
            if len(whole.ids) > room - MIN_KEPT:
                return prompt
            prompt = whole  # too short to be cut in its middle
        head = [*self._head, *prompt.ids]
        sequences = tuple(tokens.after(head, self._context) for tokens in encoded)
        return [Item(sequences, example.p, example.margin, group=group_of(example.prompt))]

    def _response(self, prompt: tuple[Turn, ...], turns: tuple[Turn, ...], thinking: bool) -> Tokens:
        """The response alone, to the end of its last turn."""
        if len(turns) == 1 and "tool_calls" not in turns[0]:
            return Tokens([*self._answer(turns[0], thinking), *self._end], 0)
        return self._whole(prompt, turns, thinking)

    def _answer(self, turn: Turn, thinking: bool) -> list[int]:
        """What the model would generate, to say this after its prompt."""
        encode, form = self._prompts, self._prompts.reasoning
        thought = self._thought(turn)
        if thought is None:
            before = form.empty if thinking else form.bare
            return [*encode.encode_trusted(before), *encode.encode_untrusted(turn["content"])]
        reasoning, answer = form.parts(*thought)
        return [
            *encode.encode_trusted(form.opening),
            *encode.encode_untrusted(reasoning),
            *encode.encode_trusted(form.closing),
            *encode.encode_untrusted(answer),
        ]

    def _thought(self, turn: Turn) -> tuple[str, str] | None:
        """(reasoning, answer) of an assistant's turn that reasons."""
        if turn["role"] != "assistant":
            return None
        if "reasoning_content" in turn:
            return f"\n{turn['reasoning_content']}\n", f"\n\n{turn['content']}"
        return split_reasoning(turn["content"], self._prompts.reasoning.opened)

    def _whole(self, prompt: tuple[Turn, ...], turns: tuple[Turn, ...], thinking: bool) -> Tokens:
        """A response of several turns, or with calls, as the template writes it. Each turn of the model's own counts from where
        it begins to generate to the token that ends the turn; what stands between is the template's and the others'."""
        render = self._prompts.render
        messages = render.settled(as_prompt((*prompt, *turns)), False, thinking)
        whole = render(messages, generation=False, thinking=thinking)
        cuts: list[int] = []
        for place, turn in enumerate(turns, len(prompt)):
            if turn["role"] == "assistant":
                before = render(messages[:place], generation=True, thinking=thinking)
                after = render(messages[: place + 1], generation=False, thinking=thinking)
                cuts += self._own(whole, before, range(len(before.contents), len(after.contents)))
        ids = [self._prompts.ids(whole, start, end) for start, end in itertools.pairwise(cuts)]
        ends = list(itertools.accumulate(map(len, ids)))
        closed = whole.text[: cuts[-1]].endswith(self._end_text) and bool(self._end_text)
        return Tokens(
            [*itertools.chain.from_iterable(ids), *([] if closed else self._end)],
            0,
            tuple((ends[place - 1], ends[place]) for place in range(1, len(ends), 2)),
        )

    def _own(self, whole: Rendered, before: Rendered, markers: range) -> tuple[int, int]:
        """Where in the whole text the model's own turn begins and ends, given what it followed and its markers."""
        found = [match.span() for match in whole.marker.finditer(whole.text) if int(match[1]) in markers]
        if whole.text.startswith(before.text):
            start = len(before.text)
        elif found:  # the template writes earlier turns otherwise than the last, as those that leave reasoning out
            start = found[0][0]
        else:
            raise UsageError("the model's chat template writes an earlier turn otherwise than the last")
        end = max([start, *(stop for _, stop in found)])
        closing = whole.text.find(self._end_text, end)
        return start, end if closing < 0 else closing + len(self._end_text)

    def _encode(self, conversation: tuple[Turn, ...], limit: int | None, thinking: bool) -> Encoded | Failure:
        return self._prompts.encode(as_prompt(conversation), limit, thinking=thinking)

    def _text(self, text: str) -> list[Item]:
        ids = [*self._prompts.start, *self._prompts.encode_untrusted(text), *self._eos]
        pieces = [ids[at : at + self._context] for at in range(0, len(ids), self._context)]
        # The first token of a piece is predicted from nothing, so it has no loss.
        return [Item((Tokens(piece, 1),), 1.0, group=group_of(text)) for piece in pieces if len(piece) > 1]


def digest(items: Iterable[Item]) -> str:
    """Sixteen hexadecimal digits over all that training sees of the data."""
    total = hashlib.sha256()
    for item in items:
        sequences = [(tokens.ids, tokens.start, *tokens.others) for tokens in item.sequences]
        total.update(repr((sequences, item.p, item.margin)).encode())
    return total.hexdigest()[:16]


def group_of(content: str | tuple[Turn, ...]) -> str:
    """The same for the same content, whatever the order of a turn's keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def turns_of(response: str | tuple[Turn, ...]) -> tuple[Turn, ...]:
    return (Turn(role="assistant", content=response),) if isinstance(response, str) else response


def turn_end(tokenizer: PreTrainedTokenizerBase) -> tuple[str, list[int]]:
    """What the chat template writes after an assistant's text, to the token that ends the turn, as text and as ids; without a
    template no text, and the separator or end-of-text token."""
    last = tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id
    fallback = [] if last is None else [last]
    if tokenizer.chat_template is None:
        return "", fallback
    hole = "\ue000"
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": hole}]
    after = render(tokenizer, turns, add_generation_prompt=False).rpartition(hole)[2]
    structural = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    ids = list(tokenizer.encode(after, add_special_tokens=False))
    end = next((place + 1 for place, token in enumerate(ids) if token in structural), 0)
    if not end:
        return "", fallback
    spelled = str(tokenizer.convert_ids_to_tokens(ids[end - 1]))
    return after[: after.find(spelled) + len(spelled)], ids[:end]
