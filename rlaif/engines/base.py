"""What an engine is: something that holds a language model and answers prompts, knowing nothing of constitutions.

Prompts reach an engine as messages made of segments. A *trusted* segment was written by the user of rlaif (a template,
a principle); an *untrusted* one came from a dataset or a model and may be hostile. The engine keeps them apart down to
the token ids wherever it owns the tokenizer.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from rlaif.errors import presentable

Role = Literal["system", "user", "assistant", "tool"]
ANSWER: Literal["answer"] = "answer"
"""In place of a role: the beginning of the assistant's next turn, which the engine goes on from. Only the last message's."""
THOUGHT: Literal["thought"] = "thought"
"""In place of a role: what the model has thought before its next turn. The last message's, or the one before ``ANSWER``."""


class Segment(NamedTuple):
    """A run of text that is wholly trusted or wholly untrusted."""

    text: str
    trusted: bool


class Message(NamedTuple):
    """One turn of the prompt that the engine sees."""

    role: Role | Literal["answer", "thought"]
    segments: tuple[Segment, ...]
    more: str = ""
    """The JSON text of what else a dataset's turn holds: ``reasoning_content``, ``tool_calls``, ``tool_call_id``, ``name``,
    ``tools``. Not trusted."""

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments)


Prompt = tuple[Message, ...]


class FailureReason(StrEnum):
    """Why there is no verdict. The only spellings that reach a file."""

    LABEL_MASS_LOW = "label_mass_low"
    PARSE_FAILED = "parse_failed"
    TRUNCATED = "truncated"
    REFUSED = "refused"
    TOO_LONG = "too_long"
    ENGINE_ERROR = "engine_error"
    BAD_ROW = "bad_row"
    UNVERIFIED = "unverified"


@dataclass(frozen=True, slots=True)
class Failure:
    """Missing data, with the reason. It is never replaced by a number.

    detail: made presentable, as a server's words may be in it."""

    reason: FailureReason
    detail: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", presentable(self.detail))


@dataclass(frozen=True, slots=True)
class Choice:
    """What the model thinks of the labels as its next token.

    logprobs: one natural-log probability per choice, as the model gave them (not renormalised over the choices).
    mass: the probability that the choices hold together, in [0, 1].
    raw: the token the model would have said, as text.
    prompt_tokens: length of the prompt in tokens, 0 where the engine cannot know.
    cut_tokens: untrusted tokens left out to make the prompt fit the context, 0 where nothing was.
    """

    logprobs: tuple[float, ...]
    mass: float
    raw: str
    prompt_tokens: int
    cut_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to draw texts. ``temperature`` 0 is greedy; ``seed`` makes a draw repeatable where the engine can.

    pattern: a regular expression that engines with structured outputs hold the text to; the others leave it to the reader.
    thinking: the text is what the model thinks before its answer, without the tags around it, whether or not it came to an end.
    """

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    n: int = 1
    seed: int = 0
    pattern: str | None = None
    thinking: bool = False

    def seed_for(self, prompts: object) -> int:
        """A seed of their own for the prompts of one draw: with one seed for all, equal prompts would get equal samples."""
        return zlib.crc32(repr((self.seed, prompts)).encode("utf-8", "surrogatepass"))


@dataclass(frozen=True, slots=True)
class Generation:
    """One sampled text. ``token_ids`` and ``logprobs`` are parallel; both are empty where the engine gives no tokens.
    prompt_tokens: length of what was read for it, 0 where the engine does not count."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Literal["stop", "length"]
    prompt_tokens: int = 0


def exact_choice(
    labels: Sequence[Sequence[int]], logprobs: Mapping[int, float], raw: str, prompt_tokens: int, cut_tokens: int
) -> Choice:
    """A ``Choice`` from the log-probability of every label token. labels: the token ids that spell each choice."""
    per_choice = tuple(math.log(sum(math.exp(logprobs[token]) for token in tokens) or sys.float_info.min) for tokens in labels)
    mass = min(1.0, sum(map(math.exp, per_choice)))
    return Choice(per_choice, mass, raw, prompt_tokens, cut_tokens)


class Engine(Protocol):
    """A model that answers. Both calls are batched, asynchronous, and answer in the order of the prompts.

    A prompt that cannot be answered gives a ``Failure`` in its place; the others are not disturbed. Errors that concern
    every prompt (a model that cannot be loaded, labels that share a token) raise ``UsageError``.

    An engine whose answers do not depend on what else is asked may have an attribute ``piece``: so many prompts at a time may
    then be asked in calls of their own. Elsewhere half of a call, asked alone, could be answered otherwise in the last digits.
    One that is paid for has a ``meter`` (``spending.Meter``) that counts what its server says it used.
    One that takes more questions to be kept busy than a labelling run has under way may have an attribute ``ahead``: how many.
    One with a limited context may have a method ``fit(prompt, room)``: how many tokens are cut so that ``room`` tokens are left
    for the answer, or the ``Failure`` that would be the answer; a dry run names the rows.
    One that owns its model's tokenizer may have a method ``ids(prompt, room)``: what it reads before a label, cut so that
    ``room`` tokens are left, empty where that cannot be, None where it has no tokenizer after all; a dry run counts by it.
    """

    identity: str
    """Everything about the model that could change an answer: path or hub id, revision or content hash, dtype, backend."""
    notes: tuple[str, ...]
    """What the reader of ``run.json`` should know about how this engine treats text; usually empty."""

    def check_choices(self, choices: Sequence[str]) -> None:
        """Raise ``UsageError`` unless the choices resolve to distinct label tokens."""
        ...

    def count_tokens(self, prompt: Prompt) -> int:
        """Length of the prompt in tokens before any cut; an estimate where the engine has no tokenizer."""
        ...

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice | Failure]: ...

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]: ...

    async def close(self) -> None: ...
