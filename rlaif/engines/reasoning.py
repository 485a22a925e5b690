"""How a model's chat template writes the reasoning that comes before an answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from rlaif.engines.chat import TemplateRefusedError, render
from rlaif.engines.rendering import REASONING_KEYS, THINK
from rlaif.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BLOCK = re.compile(r"\s*<think>(.*?)</think>(.*)", re.DOTALL)
_OPENED = re.compile(r"<think>\s*\Z")
_CLOSING = "\n</think>\n\n"
_THOUGHT, _SAID = "\ue000thought", "\ue000said"


class Reasoning(NamedTuple):
    """What the model writes around its reasoning, after the point where its answer begins.

    opening, closing: before the reasoning and after it. empty: before an answer without any, where reasoning is switched on;
    bare: the same where it is switched off. opened: whether the template opens the reasoning itself, also where it is
    switched off. by_key: whether it reads reasoning under a key of the message. exact: white space is the data's own.
    """

    opening: str
    closing: str
    empty: str
    bare: str
    opened: bool
    by_key: bool
    exact: bool

    def parts(self, reasoning: str, answer: str) -> tuple[str, str]:
        """(reasoning, answer) with the white space that belongs to neither taken off."""
        if not self.exact:
            return reasoning.strip("\n"), answer.lstrip("\n")
        return (reasoning if self.opening else reasoning.lstrip()), answer


def split_reasoning(text: str, opened: bool = False) -> tuple[str, str] | None:
    """(reasoning, answer) of a text that begins with ``<think>…</think>``; None where it does not.

    opened: the text follows a ``<think>`` that the template wrote, so it may begin with the reasoning itself.
    """
    if block := _BLOCK.fullmatch(text):
        return block[1], block[2]
    if opened and THINK[1] in text and THINK[0] not in text:
        reasoning, _, answer = text.partition(THINK[1])
        return reasoning, answer
    return None


def find_reasoning(tokenizer: PreTrainedTokenizerBase) -> Reasoning:
    """Ask the tokenizer's chat template, with texts of our own."""
    if tokenizer.chat_template is None:
        return Reasoning(*THINK, "", "", False, False, True)
    on, off = (_prompt(tokenizer, thinking) for thinking in (True, False))
    opened = bool(_OPENED.search(off))
    empty, bare = _before(tokenizer, on, True), _before(tokenizer, off, False)
    keyed = _around(tokenizer, on, {"content": _SAID, **dict.fromkeys(REASONING_KEYS, _THOUGHT)})
    if keyed:
        return Reasoning(*keyed, empty, bare, opened, True, False)
    tagged = _around(tokenizer, on, {"content": f"{THINK[0]}{_THOUGHT}{THINK[1]}{_SAID}"})
    if tagged:
        exact = tagged[0].strip() in ("", THINK[0]) and tagged[1] == THINK[1]
        return Reasoning(tagged[0].strip() if exact else tagged[0], tagged[1], empty, bare, opened, False, exact)
    opening = "" if _OPENED.search(on) else f"{THINK[0]}\n"
    return Reasoning(opening, _CLOSING, empty, bare, opened, False, False)


def _prompt(tokenizer: PreTrainedTokenizerBase, thinking: bool) -> str:
    return _render(tokenizer, [], add_generation_prompt=True, enable_thinking=thinking) or ""


def _before(tokenizer: PreTrainedTokenizerBase, prompt: str, thinking: bool) -> str:
    """What stands between the prompt's end and an answer without reasoning."""
    tail = _tail(prompt, _render(tokenizer, [{"role": "assistant", "content": _SAID}], enable_thinking=thinking))
    before = "" if tail is None else tail.partition(_SAID)[0]
    return before if before.strip() else _CLOSING if _OPENED.search(prompt) else ""


def _around(tokenizer: PreTrainedTokenizerBase, prompt: str, message: dict[str, str]) -> tuple[str, str] | None:
    """What stands before the message's reasoning and between it and the answer; None where the template leaves it out."""
    tail = _tail(prompt, _render(tokenizer, [{"role": "assistant", **message}], enable_thinking=True))
    if tail is None or not 0 <= tail.find(_THOUGHT) < tail.find(_SAID):
        return None
    before, _, after = tail.partition(_THOUGHT)
    return before, after.partition(_SAID)[0]


def _tail(prompt: str, whole: str | None) -> str | None:
    """What follows the prompt in the whole; None where it does not begin with the prompt."""
    if whole is None or not whole.startswith(prompt.rstrip()):
        return None
    return whole[len(prompt) :] if whole.startswith(prompt) else whole[len(prompt.rstrip()) :].lstrip()


def _render(tokenizer: PreTrainedTokenizerBase, answer: list[dict[str, str]], **options: bool) -> str | None:
    try:
        return render(tokenizer, [{"role": "user", "content": "?"}, *answer], **options)
    except (TemplateRefusedError, UsageError):
        return None  # what is really asked of the template will say why
