"""What a critic learns that reasons before it compares (``rlaif train critic --reasons``), and how it is judged meanwhile: on
held-out pairs it writes reasons of its own, and its label is read after them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.templates import Template
from rlaif.data.rows import Turn
from rlaif.engines.base import Failure
from rlaif.engines.tokens import PromptEncoder
from rlaif.errors import UsageError
from rlaif.models.load import Base
from rlaif.models.responses import response_logprobs
from rlaif.train import losses
from rlaif.train.batches import Batch, collate, to_device
from rlaif.train.items import Item, Tokens, group_of, turn_end, turns_of
from rlaif.train.judging import label_logprobs, taught, watched
from rlaif.train.objectives import Step, by_row
from rlaif.train.rows import Example

LEARNT, ASKED = 2, 4
"""Sequences of an item that is learnt from, and of one that is asked. Learnt: the question with the rationale behind it, and
the prompt that the label follows. Asked: the question in both orders, each with the token that ends a rationale; and the
prompts that the labels follow, whose response begins where a rationale is to be put in."""


class ReasonedQuestions:
    """The judge's questions about a pair, and the verified rationales in the example's column ``rationales``.

    most: tokens of the longest rationale. Raises UsageError where the tokenizer has no chat template: nothing would say where
    a rationale ends.
    """

    def __init__(self, constitution: Constitution, template: Template, base: Base, most: int) -> None:
        if base.tokenizer.chat_template is None:
            raise UsageError("--reasons: the model's tokenizer has no chat template, so that no token ends its reasons")
        if most >= base.context:
            raise UsageError(f"--reasons-tokens {most}: no room for a question in a context of {base.context}")
        self._constitution, self._template, self._context, self._most = constitution, template, base.context, most
        self._encoder = PromptEncoder(base.tokenizer)
        self._labels = tuple(map(tuple, self._encoder.label_ids(template.choices)))
        self._end = turn_end(base.tokenizer)[1][-1:]

    def items(self, example: Example) -> list[Item] | Failure:
        """For each principle that the row teaches an item that is asked, and one for each rationale, to learn from.

        ``too_long`` where no question fits the context, ``bad_row`` where the row teaches no principle.
        """
        known = taught(self._constitution, example)
        if isinstance(known, Failure):
            return known
        items: list[Item] = []
        for principle, p in known:
            found = self._of_principle(example, principle, p)
            if isinstance(found, Failure):
                return found
            items += found
        return items

    def _of_principle(self, example: Example, principle: Principle, p: float) -> list[Item] | Failure:
        asked = [self._asked(example, principle, swapped) for swapped in (False, True)]
        read = [self._read(example, principle, swapped, "", self._most) for swapped in (False, True)]
        sequences: list[Tokens] = []
        for tokens in (*asked, *read):
            if isinstance(tokens, Failure):
                return tokens
            sequences.append(tokens)
        group = group_of(example.prompt)
        items = [Item(tuple(sequences), p, group=group, labels=self._labels)]
        for rationale in example.extra.get("rationales", ()):
            if rationale["principle"] != principle.id:
                continue
            swapped, text = rationale["swapped"], rationale["text"]
            after = self._read(example, principle, swapped, text)
            question = sequences[swapped]
            written = Tokens(
                [*question.ids[: question.start], *self._encoder.encode_untrusted(text), *self._end], question.start
            )
            if not isinstance(after, Failure) and len(written.ids) <= self._context:
                label = Tokens(after.ids, len(after.ids) - 1)
                items.append(Item((written, label), 1 - p if swapped else p, group=group, labels=self._labels))
        return items

    def _asked(self, example: Example, principle: Principle, swapped: bool) -> Tokens | Failure:
        """The question and the token that ends its answer."""
        encoded = self._encoder.encode(
            self._template.render(*self._shown(example, principle, swapped)), self._context - self._most
        )
        return encoded if isinstance(encoded, Failure) else Tokens([*encoded.ids, *self._end], len(encoded.ids))

    def _read(self, example: Example, principle: Principle, swapped: bool, rationale: str, spared: int = 0) -> Tokens | Failure:
        """What the engines read before the label. start: of the rationale. spared: room for more of it."""
        prompt = self._template.render(*self._shown(example, principle, swapped), rationale=rationale)
        encoded = self._encoder.encode(prompt, self._context - 1 - spared, decided=True)
        return encoded if isinstance(encoded, Failure) else Tokens(encoded.ids, encoded.untrusted[-1][0])

    def _shown(
        self, example: Example, principle: Principle, swapped: bool
    ) -> tuple[str, tuple[Turn, ...], list[tuple[Turn, ...]]]:
        wording = self._template.wording(principle.text, principle.wordings.get(self._template.mode))
        responses = [turns_of(response) for response in example.responses]
        return wording, example.prompt, responses[::-1] if swapped else responses


def step(model: Any, batch: Batch, most: int) -> Step:
    """What a batch of items costs: of those that are learnt from, ``losses.reasoned``; of those that are asked, what the labels
    cost after the model's own reasons (``losses.both_orders``), with what to watch.

    ``accuracy`` of the latter: whether the pair has a verdict, and it is the known one. ``verdicts``: whether it has one, which
    it has not where a rationale is empty or longer than ``most`` tokens.
    """
    rows = len(batch.p)
    if len(batch.ids) == LEARNT * rows:
        written, read = batch.take(slice(rows)), batch.take(slice(rows, None))
        sums, tokens = response_logprobs(model, written.ids, written.response, attention_mask=written.attention)
        labels = label_logprobs(model, read)
        right = ((labels[:, 0] - labels[:, 1]).sign() * (batch.p - 0.5).sign() + 1) / 2
        seen = {"accuracy": right, "mass": labels.logsumexp(-1).exp(), "reasons_logprob": sums / tokens}
        return by_row(losses.reasoned(sums / tokens, labels, batch.p), seen)
    first, second, whole = verdicts(model, batch, most)
    seen = watched(first, second, batch.p, "compare")
    seen |= {"accuracy": seen["accuracy"] * whole, "verdicts": whole.float()}
    return by_row(losses.both_orders(first, second, batch.p), seen)


@torch.no_grad()
def verdicts(model: Any, batch: Batch, most: int) -> tuple[Tensor, Tensor, Tensor]:
    """log P of the labels after the model's own greedy reasons, in one order and in the other [B, C] each; and whether both
    rationales say something and came to an end [B]."""
    rows = len(batch.p)
    sequences = [ids[mask.bool()].tolist() for ids, mask in zip(batch.ids.cpu(), batch.attention.cpu(), strict=True)]
    starts = batch.response.int().argmax(-1).tolist()
    before = [ids[:start] for ids, start in zip(sequences, starts, strict=True)]
    after = [ids[start:] for ids, start in zip(sequences, starts, strict=True)]
    drawn = written(model, before[: 2 * rows], after[0][0], most)
    ends = [bool(text) and ended for text, ended in drawn]
    read = [[*before[2 * rows + row], *text, *after[2 * rows + row]] for row, (text, _) in enumerate(drawn)]
    orders = [Item((Tokens(ids, len(ids) - 1),), 1.0, labels=_labels(batch)) for ids in read]
    logprobs = label_logprobs(model, to_device(collate(orders, 0), batch.ids.device))
    whole = torch.tensor(ends, device=batch.ids.device)
    return logprobs[:rows], logprobs[rows:], whole[:rows] & whole[rows:]


def written(model: Any, prompts: Sequence[list[int]], end: int, most: int) -> list[tuple[list[int], bool]]:
    """The model's greedy continuation of each prompt, at most ``most`` tokens, without what ended it; and whether it ended."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    own = inner.generation_config.eos_token_id
    ends = sorted({end, *([own] if isinstance(own, int) else own or [])})
    device = next(inner.parameters()).device
    width = max(map(len, prompts))
    ids, mask = torch.full((2, len(prompts), width), 0, dtype=torch.long, device=device)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(prompt)
        mask[row, width - len(prompt) :] = 1
    how = GenerationConfig(max_new_tokens=most, do_sample=False, eos_token_id=ends, pad_token_id=end)
    kept, inner.generation_config = inner.generation_config, how  # the model's own would fill in what is not said here
    try:
        drawn = inner.generate(input_ids=ids, attention_mask=mask)
    finally:
        inner.generation_config = kept
    found = []
    for row in drawn[:, width:].tolist():
        stop = next((place for place, token in enumerate(row) if token in ends), None)
        found.append((row[:stop], stop is not None))
    return found


def _labels(batch: Batch) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(token for token in label if token >= 0) for label in batch.labels.tolist())
