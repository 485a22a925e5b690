"""What ``rlaif train critic`` learns from and ends with: the judge's prompts in tokens, the labels' probabilities, and their
temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.templates import Template
from rlaif.data.rows import Turn
from rlaif.engines.base import Failure, FailureReason
from rlaif.engines.tokens import Encoded, PromptEncoder
from rlaif.errors import UsageError
from rlaif.evaluate.calibration import ece, reliability
from rlaif.models.load import Base
from rlaif.models.responses import exact_logits, takes
from rlaif.train.batches import Batch, collate, to_device
from rlaif.train.items import Item, Tokens, group_of, turns_of
from rlaif.train.losses import preferred
from rlaif.train.rows import Example

Question = Literal["compare", "score"]
TEMPERATURES = np.geomspace(0.25, 4.0, 141)
"""Two per cent apart, which is finer than some hundred held-out pairs can tell. A model that wants more has not learnt the
labels."""
BATCH = 8


class Questions:
    """The judge's questions about a pair, one of each principle for which it is known which response is better.

    A label run's verdict by each principle teaches that principle. A row with an overall label alone says nothing about any
    one of several principles, so it can teach only a constitution of which one applies to it.
    """

    def __init__(self, constitution: Constitution, template: Template, base: Base) -> None:
        self._constitution, self._context = constitution, base.context
        self._encoder = PromptEncoder(base.tokenizer)
        self._template, self._labels = self._readable(template)

    def items(self, example: Example) -> list[Item] | Failure:
        """An item per principle. Its sequences are the two prompts: to compare, (chosen, rejected) shown in this order and in
        the other; to score, chosen and rejected by themselves. Each ends where the label belongs, cut as an engine would.

        ``too_long`` where no principle's question fits the context, ``bad_row`` where the row teaches no principle.
        """
        known = taught(self._constitution, example)
        if isinstance(known, Failure):
            return known
        chosen, rejected = (turns_of(response) for response in example.responses)
        compares = self._template.mode == "compare"
        shown = [[chosen, rejected], [rejected, chosen]] if compares else [[chosen], [rejected]]
        items: list[Item] = []
        for principle, p in known:
            wording = self._template.wording(principle.text, principle.wordings.get(self._template.mode))
            prompts = [self._encode(wording, example.prompt, responses) for responses in shown]
            for prompt in prompts:
                if isinstance(prompt, Failure):
                    return prompt
            sequences = tuple(Tokens(prompt.ids, len(prompt.ids) - 1) for prompt in prompts if isinstance(prompt, Encoded))
            items.append(Item(sequences, p, group=group_of(example.prompt), labels=self._labels))
        return items

    def _readable(self, template: Template) -> tuple[Template, tuple[tuple[int, ...], ...]]:
        """The template on the first of its scales that the tokenizer can tell apart, and the tokens of its labels."""
        *wanted, last = template.variants
        for variant in wanted:
            try:
                return variant, tuple(map(tuple, self._encoder.label_ids(variant.choices)))
            except UsageError:
                continue
        return last, tuple(map(tuple, self._encoder.label_ids(last.choices)))

    def _encode(self, wording: str, prompt: tuple[Turn, ...], responses: Sequence[tuple[Turn, ...]]) -> Encoded | Failure:
        asked = self._template.render(wording, prompt, responses)
        return self._encoder.encode(asked, self._context - 1, decided=True)  # the engines leave as much room for the label


def taught(constitution: Constitution, example: Example) -> list[tuple[Principle, float]] | Failure:
    """Each principle of which it is known which response is better by it, with the probability that ``chosen`` is.

    ``bad_row`` where there is none.
    """
    applying = [principle for principle in constitution.principles if principle.applies(example.extra)]
    known = {principle.id: example.principles[principle.id] for principle in applying if principle.id in example.principles}
    if not known and len(applying) == 1 and not example.principles:
        known = {applying[0].id: example.p}
    if not known:
        return Failure(FailureReason.BAD_ROW, _untaught(example, len(applying)))
    return [(principle, known[principle.id]) for principle in applying if principle.id in known]


def label_logprobs(model: Any, batch: Batch) -> Tensor:
    """log P of each label after each prompt, [S·B, C], over the whole vocabulary; each label by any of its spellings."""
    return spelling_logprobs(model, batch).logsumexp(-1)


def spelling_logprobs(model: Any, batch: Batch) -> Tensor:
    """log P of each spelling of each label, [S·B, C, L]; −inf where a label has fewer."""
    last = batch.response.int().argmax(-1)  # [S·B]
    options: dict[str, Any] = {}
    places = last
    if takes(model, "logits_to_keep"):
        options["logits_to_keep"], places = torch.unique(last, return_inverse=True)
    with exact_logits(model):
        logits = model(input_ids=batch.ids, attention_mask=batch.attention, use_cache=False, **options).logits
    logprobs: Tensor = logits[torch.arange(len(last), device=last.device), places].float().log_softmax(-1)
    return logprobs[:, batch.labels.clamp(min=0)].masked_fill(batch.labels < 0, -torch.inf)


def preferences(first: Tensor, second: Tensor, mode: Question) -> tuple[Tensor, Tensor]:
    """The probability that ``chosen`` is better, [B] twice: in one order and in the other; the same twice for scores.

    Args: first, second: log P of the labels [B, C] after each of an item's prompts.
    """
    if mode == "score":
        return (preferred(first, second),) * 2
    return first.softmax(-1)[:, 0], second.softmax(-1)[:, 1]


def watched(first: Tensor, second: Tensor, p: Tensor, mode: Question) -> dict[str, Tensor]:
    """What to see of a critic while it learns, [B] each: whether it agrees with the labels, whether it names another winner in
    the other order, the gap between both, its squared error, and the probability that it puts on labels at all."""
    one, other = preferences(first.detach(), second.detach(), mode)
    lean = (one + other) / 2 - 0.5
    mass = (first.detach().logsumexp(-1).exp() + second.detach().logsumexp(-1).exp()) / 2
    found = {
        "accuracy": ((lean.sign() * (p - 0.5).sign()) + 1) / 2,
        "squared_error": (lean + 0.5 - p) ** 2,
        "mass": mass,
    }
    return found if mode == "score" else {**found, "flips": ((one - 0.5) * (other - 0.5) < 0).float(), "gap": one - other}


def set_temperature(model: Any, held_out: Sequence[Item], pad: int, mode: Question) -> dict[str, float]:
    """Choose the temperature at which the held-out labels are likeliest, and put it into the model's output layer, so that
    every engine that runs the model reads calibrated labels. Returns the temperature, and the expected
    calibration error on the held-out pairs before and after.
    Source: Guo et al. 2017, arXiv 1706.04599 §4.2.
    """
    first, second, p = _held_out(model, held_out, pad)

    def verdicts(temperature: float) -> Tensor:
        one, other = (tempered(spelled, temperature).logsumexp(-1) for spelled in (first, second))
        return torch.stack(preferences(one, other, mode)).mean(0)

    def surprise(temperature: float) -> float:
        q = verdicts(temperature).clamp(1e-6, 1 - 1e-6)
        return float(-(p * q.log() + (1 - p) * (1 - q).log()).mean())

    temperature = float(min(TEMPERATURES, key=surprise))
    temper_labels(model, collate(held_out[:1], pad).labels, temperature)
    before, after = (ece(reliability(verdicts(value).numpy(), (p - 0.5).numpy())) for value in (1.0, temperature))
    return {"temperature": temperature, "eval_ece_before": before, "eval_ece": after}


def tempered(spelled: Tensor, temperature: float) -> Tensor:
    """Log-probabilities or logits [..., C, L] of labels' spellings, each 1/temperature times as far from the mean of the same
    spelling of all labels. −inf, where a label has no such spelling, stays."""
    there = spelled.isfinite()
    mean = spelled.where(there, 0.0).sum(-2, keepdim=True) / there.sum(-2, keepdim=True).clamp(min=1)
    return (mean + (spelled - mean) / temperature).where(there, spelled)


def temper_labels(model: Any, labels: Tensor, temperature: float) -> None:
    """Do what ``tempered`` does to the model's own logits of the labels, in its output layer's rows of them.

    No other token's logit changes: divided by a temperature, those of a whole vocabulary would take the probability off the
    labels. labels: [C, L] as in ``Batch``. An output layer that shares the embeddings' weights gets weights of its own.
    """
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = model.get_output_embeddings()
    with torch.no_grad():
        for name in ("weight", "bias"):
            if (old := getattr(head, name, None)) is not None:
                new = old.clone()
                for spelling in labels.T:  # [C]
                    rows = spelling[spelling >= 0].to(old.device)
                    mean = old[rows].mean(0)
                    new[rows] = mean + (old[rows] - mean) / temperature
                setattr(head, name, nn.Parameter(new))
    for config in {id(config): config for config in (model.config, model.config.get_text_config())}.values():
        config.tie_word_embeddings = False


@torch.no_grad()
def _held_out(model: Any, items: Sequence[Item], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """``spelling_logprobs`` [N, C, L] after each of the items' prompts, and p [N], on the CPU in float64."""
    model.eval()
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(items), BATCH):
        batch = to_device(collate(items[start : start + BATCH], pad), device)
        parts.append((*spelling_logprobs(model, batch).chunk(2), batch.p))
    first, second, p = (torch.cat(part).double().cpu() for part in zip(*parts, strict=True))
    return first, second, p


def _untaught(example: Example, applying: int) -> str:
    if example.principles:
        return f"its verdicts are by {', '.join(example.principles)}, none of which applies by --constitution"
    if not applying:
        return "no principle of --constitution applies to the row"
    return (
        f"its label is of the whole response, and {applying} principles of --constitution apply: give a constitution of one, "
        "or a label run's folder, which holds a label for each"
    )
