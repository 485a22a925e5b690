"""From a prompt to the chat template's text, with a marker wherever untrusted text belongs.

Every text of a dataset's tool calls and tool schemas is untrusted too, and gets a marker of its own, but for plain words
(``function``, ``get_weather``): templates compare them, and no word can stand for the structure of a prompt.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from rlaif.engines.base import ANSWER, THOUGHT, Message, Prompt, Segment
from rlaif.engines.chat import TemplateRefusedError, render
from rlaif.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

THINK = ("<think>", "</think>")
REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")
"""Under which of them a message's reasoning is looked for depends on the chat template: it is given under all."""
NO_TEMPLATE_END = "\n\nAnswer:"

_WORD = re.compile(r"[\w.-]{1,64}", re.ASCII)


Frame = tuple[tuple[Any, tuple[str | None, ...]], ...]
"""A prompt without its untrusted texts: of each message the role, and its segments, None in place of an untrusted one."""


@dataclass(frozen=True)
class Rendered:
    """text: the template's, with markers. contents: the untrusted text of each marker, by its number."""

    text: str
    contents: list[str]
    marker: re.Pattern[str]
    """Its groups: the number, and the backslashes that JSON put before the marker's quotation mark."""
    start: str
    """What a marker begins with."""

    def followed(self, before: str, content: str, after: str) -> Rendered:
        """With more trusted text at its end, and untrusted text within that."""
        text = f'{self.text}{before}{self.start}{len(self.contents)}"\ue002{after}'
        return replace(self, text=text, contents=[*self.contents, content])


@dataclass
class _Parts:
    """A prompt taken apart. optional: markers that a template may leave out. words: what its text must hold besides."""

    start: str
    messages: list[tuple[str, str, str]] = field(default_factory=list)
    contents: list[str] = field(default_factory=list)
    optional: set[int] = field(default_factory=set)
    words: set[str] = field(default_factory=set)

    def mark(self, text: str, optional: bool = False) -> str:
        number = len(self.contents)
        self.contents.append(text)
        if optional:
            self.optional.add(number)
        return f'{self.start}{number}"\ue002'


class Renderer:
    """Renders prompts by one tokenizer's chat template. by_key: whether it reads reasoning under a key of the message."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, by_key: bool = False) -> None:
        self._tokenizer, self.by_key = tokenizer, by_key
        self._added = frozenset(str(token) for token in tokenizer.added_tokens_decoder.values())
        self._text = lru_cache(maxsize=4096)(self._render)

    def __call__(self, prompt: Prompt, generation: bool = True, thinking: bool = False) -> Rendered:
        """generation: end where the answer begins. thinking: with the model's reasoning switched on, where it has a switch.

        Where the template has no place for tools, they and their calls become text. Raises UsageError where it refuses the
        prompt, or drops what must be in it. The beginning of the answer is not rendered here: see ``begun``.
        """
        asked = begun(prompt).asked
        return self._rendered(self.settled(asked, generation, thinking), generation, thinking)

    def settled(self, prompt: Prompt, generation: bool, thinking: bool) -> Prompt:
        """The prompt in the form that the template can carry: as it is, or ``as_text``."""
        if not any(message.more or message.role == "tool" for message in prompt):
            return prompt
        try:
            self._rendered(prompt, generation, thinking)
        except UsageError:
            return as_text(prompt)
        return prompt

    def _rendered(self, prompt: Prompt, generation: bool, thinking: bool) -> Rendered:
        parts = self._take_apart(prompt)
        text = self._text(
            tuple(parts.messages), frozenset(parts.optional), frozenset(parts.words), parts.start, generation, thinking
        )
        return Rendered(text, parts.contents, _marker(parts.start), parts.start)

    def _take_apart(self, prompt: Prompt) -> _Parts:
        start = "\ue000"
        while any(start in segment.text for message in prompt for segment in message.segments if segment.trusted):
            start += "\ue001"
        parts = _Parts(start)
        for message in prompt:
            more = json.loads(message.more) if message.more else {}
            keyed = self.by_key and "reasoning_content" in more
            texts = [part._replace(text=part.text.lstrip("\n")) if keyed else part for part in message.segments]
            content = "".join(part.text if part.trusted else parts.mark(part.text) for part in texts)
            held: dict[str, Any] = {}
            if reasoning := more.get("reasoning_content"):
                if keyed:
                    held |= dict.fromkeys(REASONING_KEYS, parts.mark(reasoning.strip("\n"), optional=True))
                else:
                    content = f"{THINK[0]}{parts.mark(reasoning, optional=True)}{THINK[1]}{content}"
            if calls := more.get("tool_calls"):
                held["tool_calls"] = [self._call(call, parts) for call in calls]
            for name in ("tool_call_id", "name"):
                if name in more:
                    held[name] = self._marked(more[name], parts, optional=True)
            if tools := more.get("tools"):
                held["tools"] = [self._tool(tool, parts) for tool in json.loads(tools)]
            parts.messages.append((message.role, content, json.dumps(held, ensure_ascii=False) if held else ""))
        return parts

    def _call(self, call: Mapping[str, Any], parts: _Parts) -> dict[str, Any]:
        function = call["function"]
        try:
            arguments = json.loads(function["arguments"])
        except ValueError:
            arguments = function["arguments"]
        named = {"name": self._needed(function["name"], parts), "arguments": self._marked(arguments, parts)}
        own_id = {"id": self._marked(call["id"], parts, optional=True)} if "id" in call else {}
        return {**own_id, "type": "function", "function": named}

    def _tool(self, tool: Mapping[str, Any], parts: _Parts) -> Any:
        function = tool.get("function")
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            named = {"name": self._needed(function["name"], parts)}
            rest = {key: self._marked(value, parts, optional=True) for key, value in function.items() if key != "name"}
            return {"type": "function", "function": {**named, **rest}}
        return self._marked(tool, parts, optional=True)

    def _needed(self, name: str, parts: _Parts) -> str:
        marked: str = self._marked(name, parts)
        if marked == name:
            parts.words.add(name)
        return marked

    def _marked(self, value: Any, parts: _Parts, optional: bool = False) -> Any:
        if isinstance(value, str):
            return value if _WORD.fullmatch(value) and value not in self._added else parts.mark(value, optional)
        if isinstance(value, Mapping):
            return {self._marked(key, parts, optional): self._marked(item, parts, optional) for key, item in value.items()}
        return [self._marked(item, parts, optional) for item in value] if isinstance(value, list) else value

    def _render(
        self,
        messages: tuple[tuple[str, str, str], ...],
        optional: Collection[int],
        words: Collection[str],
        start: str,
        generation: bool,
        thinking: bool,
    ) -> str:
        held = [{"role": role, "content": content, **(json.loads(more) if more else {})} for role, content, more in messages]
        tools = [tool for message in held for tool in message.pop("tools", ())]
        text = self._chat(held, generation, thinking, tools)
        marker = _marker(start)
        counts = Counter(int(match[1]) for match in marker.finditer(text))
        once = {int(match[1]) for _, content, _ in messages for match in marker.finditer(content)}
        more = {int(match[1]) for _, _, more in messages for match in marker.finditer(more)}
        dropped = any(counts[number] == 0 for number in (once | more) - set(optional)) or any(
            word not in text for word in words
        )
        if dropped or any(counts[number] > 1 for number in once):
            raise UsageError("the model's chat template drops or repeats message content, so it cannot carry this prompt")
        return text

    def _chat(self, messages: list[dict[str, Any]], generation: bool, thinking: bool, tools: list[Any]) -> str:
        if self._tokenizer.chat_template is None:
            return "\n\n".join(message["content"] for message in messages) + (NO_TEMPLATE_END if generation else "")
        options: dict[str, Any] = {"add_generation_prompt": generation, "enable_thinking": thinking}
        try:
            return render(self._tokenizer, messages, **options, **({"tools": tools} if tools else {}))
        except TemplateRefusedError as error:  # the usual refusal is of a system turn
            if messages[0]["role"] != "system" or len(messages) < 2:
                raise UsageError(f"the model's chat template refuses the prompt: {error}") from error
            joined = {**messages[1], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
            return self._chat([joined, *messages[2:]], generation, thinking, tools)


class Begun(NamedTuple):
    """A prompt taken apart: what was asked; what the model has thought of it, None where it has not; how its answer begins."""

    asked: Prompt
    thought: str | None
    answer: str


def begun(prompt: Prompt) -> Begun:
    """``prompt`` without the beginning of the assistant's next turn, and that beginning."""
    answer = prompt[-1].text if prompt and prompt[-1].role == ANSWER else ""
    before = prompt[:-1] if answer else prompt
    if before and before[-1].role == THOUGHT:
        return Begun(before[:-1], before[-1].text, answer)
    return Begun(before, None, answer)


def as_text(prompt: Prompt) -> Prompt:
    """The prompt for a template that knows nothing of tools: what they are and what is called as text, in roles that it has."""
    plainly = []
    for message in prompt:
        more = json.loads(message.more) if message.more else {}
        parts = [*([Segment(f"{more['tools']}\n\n", False)] if "tools" in more else []), *message.segments]
        if "name" in more:
            parts = [Segment(f"{more['name']}: ", False), *parts]
        for call in more.get("tool_calls", ()):
            function = call["function"]
            line = "\n" if any(part.text for part in parts) else ""
            parts.append(Segment(f"{line}{function['name']}({function['arguments']})", False))
        reasoning = {"reasoning_content": more["reasoning_content"]} if "reasoning_content" in more else {}
        role = "user" if message.role == "tool" else message.role
        segments = tuple(part for part in parts if part.text) or message.segments
        plainly.append(Message(role, segments if more else message.segments, json.dumps(reasoning) if reasoning else ""))
    return tuple(plainly)


def framed(prompt: Prompt) -> tuple[Frame, list[str]] | None:
    """A prompt's frame, and its untrusted texts; None where these are not all in the messages that a template renders."""
    frame, contents = [], []
    for message in prompt:
        if message.more or (message.role in (ANSWER, THOUGHT) and not all(part.trusted for part in message.segments)):
            return None
        frame.append((message.role, tuple([text if trusted else None for text, trusted in message.segments])))
        contents += [text for text, trusted in message.segments if not trusted]
    return tuple(frame), contents


def taken_apart(rendered: Rendered, text: str) -> tuple[tuple[str, ...], list[str]]:
    """What stands before, between and after the markers in ``text``; and the texts that the markers stand for."""
    trusted, order = places(rendered, text)
    return trusted, [within_json(rendered.contents[number], depth) for number, depth in order]


def places(rendered: Rendered, text: str) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """What stands before, between and after the markers in ``text``; and of each marker the number of the text that it stands
    for, and how many times this is within JSON."""
    trusted, order, start = [], [], 0
    for marker in rendered.marker.finditer(text):
        trusted.append(text[start : marker.start()])
        order.append((int(marker[1]), len(marker[2]).bit_length()))  # 1 backslash: within JSON; 3: within JSON within JSON
        start = marker.end()
    return (*trusted, text[start:]), tuple(order)


def within_json(content: str, depth: int) -> str:
    """A text as it stands in so many JSON texts, one within the other."""
    for _ in range(depth):
        content = json.dumps(content, ensure_ascii=False)[1:-1]
    return content


@lru_cache(maxsize=64)
def _marker(start: str) -> re.Pattern[str]:
    return re.compile(re.escape(start) + r'(\d+)(\\*)"\ue002')
