"""Training samples for the critics: the real judge prompts, several principles to one sample.

The templates put the principle after the responses, so the prompts of one sample share a long prefix. A sample is that
prefix once, and one branch per principle; branches do not see each other (``rlaif.lab.training.branch_mask``). Every id is what
``PromptEncoder`` gives for the whole prompt.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rlaif.critic.templates import Template, load_template
from rlaif.data.rows import Turn
from rlaif.engines.base import Failure
from rlaif.engines.tokens import Encoded, PromptEncoder
from rlaif.lab import wordings
from rlaif.lab.gold import PRINCIPLES, gold
from rlaif.lab.world import draw_questions, reply

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHARPNESS = 10.0
"""How sure a critic should be of a difference in gold: P(first is better) = sigmoid(SHARPNESS · difference)."""
KEEP_TIES = 0.25
SCORES_PER_SAMPLE = 4


@dataclass(frozen=True, slots=True)
class Branch:
    """ids: from the principle to where the answer begins. target: probability of each choice of the mode."""

    ids: list[int]
    target: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """ends: where in ``prefix`` each response has just been closed; gold: its scores there, in the order of PRINCIPLES."""

    mode: str
    prefix: list[int]
    ends: list[int]
    gold: list[list[float]]
    branches: list[Branch]

    @property
    def length(self) -> int:
        return len(self.prefix) + sum(len(branch.ids) for branch in self.branches)


@dataclass(frozen=True, slots=True)
class Fallibility:
    """How a bad judge departs from gold. position: added to the logit of A. blunt: factor on the logits. flips: share of
    labels that are simply wrong."""

    position: float = 1.4
    blunt: float = 0.32
    flips: float = 0.08


class Judgements:
    """Makes samples for one tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._encoder = PromptEncoder(tokenizer)
        self._templates: dict[str, Template] = {"compare": load_template("compare"), "score": load_template("score")}
        self._branch = lru_cache(maxsize=None)(self._encode_branch)
        self.labels: dict[str, list[int]] = {
            mode: [tokenizer.encode(choice, add_special_tokens=False)[0] for choice in template.choices]
            for mode, template in self._templates.items()
        }
        """Per mode, the token that follows the prompt for each choice."""

    def samples(self, n: int, seed: int, fallibility: Fallibility | None = None) -> Iterator[Sample]:
        """``n`` samples of training prompts, about two comparisons to one score."""
        rng = random.Random(f"judgements {seed}")
        for question, _ in zip(draw_questions(seed, "train"), range(n), strict=False):
            mode = "compare" if rng.random() < 0.7 else "score"
            replies = [reply(question, rng) for _ in range(2 if mode == "compare" else 1)]
            scores = [gold(question.text, text) for text in replies]
            branches = []
            for principle in rng.sample(PRINCIPLES, len(PRINCIPLES) if mode == "compare" else SCORES_PER_SAMPLE):
                values = [score[principle] for score in scores]
                if mode == "compare" and values[0] == values[1] and rng.random() > KEEP_TIES:
                    continue
                target = compare_target(values[0] - values[1]) if mode == "compare" else score_target(values[0])
                if fallibility:
                    target = _err(target, fallibility, rng)
                branches.append(Branch(self._branch(mode, self._wording(mode, principle, rng)), target))
            if branches:
                prefix, ends = self._prefix(mode, question.text, replies)
                yield Sample(mode, prefix, ends, [[score[p] for p in PRINCIPLES] for score in scores], branches)

    def _wording(self, mode: str, principle: str, rng: random.Random) -> str:
        own = rng.choice(wordings.own(principle, mode)) if rng.random() < 0.1 else None
        return self._templates[mode].wording(rng.choice(wordings.texts(principle, "train")), own)

    def _prefix(self, mode: str, prompt: str, replies: Sequence[str]) -> tuple[list[int], list[int]]:
        encoded = self._encode(mode, "", prompt, replies)
        ends = [end for _, end in encoded.untrusted[1:]]
        return encoded.ids[: ends[-1] + 1], ends

    def _encode_branch(self, mode: str, wording: str) -> list[int]:
        encoded = self._encode(mode, wording, "", [""] * (2 if mode == "compare" else 1))
        return encoded.ids[encoded.untrusted[-1][1] + 1 :]

    def _encode(self, mode: str, wording: str, prompt: str, replies: Sequence[str]) -> Encoded:
        conversation: list[Turn] = [{"role": "user", "content": prompt}]
        responses: list[list[Turn]] = [[{"role": "assistant", "content": text}] for text in replies]
        encoded = self._encoder.encode(self._templates[mode].render(wording, conversation, responses))
        if isinstance(encoded, Failure):
            raise ValueError(f"a prompt of the lab does not fit: {encoded.detail}")
        return encoded


def compare_target(difference: float) -> tuple[float, float]:
    """Soft Bradley–Terry label of a difference in gold: probabilities of A and of B."""
    first = 1 / (1 + math.exp(-SHARPNESS * difference))
    return first, 1 - first


def score_target(value: float, choices: int = 9) -> tuple[float, ...]:
    """Probabilities over a scale whose expected value is ``value`` in [0, 1]: its two nearest labels share it."""
    position = value * (choices - 1)
    return tuple(max(0.0, 1 - abs(position - label)) for label in range(choices))


def _err(target: tuple[float, ...], how: Fallibility, rng: random.Random) -> tuple[float, ...]:
    """``target`` as a fallible judge would have it: a comparison biased to A and unsure, a score drawn to the middle."""
    if len(target) > 2:
        middle = score_target(0.5, len(target))
        return tuple(how.blunt * t + (1 - how.blunt) * m for t, m in zip(target, middle, strict=True))
    first = target[0] if rng.random() > how.flips else target[1]
    logit = how.blunt * math.log(max(first, 1e-9) / max(1 - first, 1e-9)) + how.position
    return 1 / (1 + math.exp(-logit)), 1 / (1 + math.exp(logit))
