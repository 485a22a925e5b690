"""Prompt templates: YAML files under ``prompts/`` that turn a sample and a principle into the critic's messages.

Text from templates and constitutions is trusted; conversations and responses are not. Slots are filled in one pass, so
a response that holds ``{{ principle }}`` is just text, and tags that the template uses as fences are defused inside
untrusted text, so that no content can close one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from rlaif.data.rows import Turn
from rlaif.engines.base import Message, Prompt, Role, Segment
from rlaif.errors import UsageError

Mode = Literal["compare", "score"]
SLOTS: Mapping[str, frozenset[str]] = {
    "compare": frozenset({"conversation", "response_a", "response_b", "principle"}),
    "score": frozenset({"conversation", "response", "principle"}),
}
TURN_TAGS = ("system", "user", "assistant", "tool")
"""Roles of a conversation's turns; each turn is fenced by a tag of that name."""

_SLOT = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_TAG = re.compile(r"</?([A-Za-z]\w*)>")


@dataclass(frozen=True)
class Template:
    """A parsed prompt file. ``render`` is pure; ``digest`` changes with anything that could change a rendered prompt."""

    mode: Mode
    version: int
    choices: tuple[str, ...]
    principle: str
    messages: tuple[tuple[Role, str], ...]

    @cached_property
    def digest(self) -> str:
        content = [self.mode, self.version, self.choices, self.principle, self.messages]
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]

    @cached_property
    def _fence(self) -> re.Pattern[str]:
        tags = {tag for _, content in self.messages for tag in _TAG.findall(content)} | set(TURN_TAGS)
        return re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(sorted(tags))})\b)", re.IGNORECASE)

    def defuse(self, text: str) -> str:
        """``text`` with the ``<`` of anything that looks like one of this template's tags written as ``&lt;``."""
        return self._fence.sub("&lt;", text)

    def wording(self, text: str, own: str | None) -> str:
        """What stands in the principle slot: the principle's own wording for this mode, or the template's around its text."""
        return own if own is not None else _SLOT.sub(lambda slot: text, self.principle)

    def render(self, wording: str, conversation: Sequence[Turn], responses: Sequence[Sequence[Turn]]) -> Prompt:
        """The critic's prompt for one sample and one principle.

        responses: two for ``compare`` (first is A), one for ``score``; each a list of turns, nearly always one.
        """
        names = ("response_a", "response_b") if self.mode == "compare" else ("response",)
        slots: dict[str, tuple[Segment, ...]] = {
            "principle": (Segment(wording, True),),
            "conversation": self._turns(conversation),
        }
        for name, response in zip(names, responses, strict=True):
            alone = len(response) == 1 and response[0]["role"] == "assistant"
            slots[name] = (Segment(self.defuse(response[0]["content"]), False),) if alone else self._turns(response)
        return tuple(Message(role, _fill(content, slots)) for role, content in self.messages)

    def _turns(self, turns: Sequence[Turn]) -> tuple[Segment, ...]:
        segments: list[Segment] = []
        for number, turn in enumerate(turns):
            tag = turn["role"]
            segments += [
                Segment(f"{'' if number == 0 else chr(10)}<{tag}>\n", True),
                Segment(self.defuse(turn["content"]), False),
                Segment(f"\n</{tag}>", True),
            ]
        return tuple(segments)


def _fill(content: str, slots: Mapping[str, tuple[Segment, ...]]) -> tuple[Segment, ...]:
    """One pass over the template's text; neighbouring trusted runs are joined, so that they tokenize as one text."""
    parts: list[Segment] = []
    for number, piece in enumerate(_SLOT.split(content)):
        for segment in slots[piece] if number % 2 else (Segment(piece, True),):
            if segment.trusted and parts and parts[-1].trusted:
                parts[-1] = Segment(parts[-1].text + segment.text, True)
            elif segment.text or not segment.trusted:
                parts.append(segment)
    return tuple(parts)


def default_folder() -> Path:
    """Where the shipped templates are: beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parents[1] / "prompts"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "prompts"


def load_template(mode: Mode, folder: Path | None = None) -> Template:
    """Read ``folder/MODE.yaml``.

    Raises UsageError naming the file (and the line where YAML knows it) for anything that is not a usable template.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = (folder or default_folder()) / f"{mode}.yaml"
    try:
        raw: Any = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such template; --prompts must name a folder that holds {mode}.yaml") from None
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"{where}: not valid YAML: {getattr(error, 'problem', error)}") from None
    return _parse(path, mode, raw)


def _parse(path: Path, mode: Mode, raw: Any) -> Template:
    keys = {"mode", "version", "choices", "principle", "messages"}
    if not isinstance(raw, dict) or raw.keys() != keys:
        found = sorted(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
        raise UsageError(f"{path}: a template has exactly the keys {', '.join(sorted(keys))}; found {found}")
    if raw["mode"] != mode:
        raise UsageError(f"{path}: mode is {raw['mode']!r}, but this file is read as the {mode} template")
    if not isinstance(raw["version"], int) or not isinstance(raw["principle"], str):
        raise UsageError(f"{path}: version must be a whole number and principle a text")
    choices = raw["choices"]
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
        raise UsageError(f"{path}: choices must be two or more texts (quote numbers), found {choices!r}")
    if len(set(choices)) < len(choices):
        raise UsageError(f"{path}: choices repeat a label: {choices!r}")
    if mode == "compare" and len(choices) != 2:
        raise UsageError(f"{path}: compare takes two choices, first and second response, found {choices!r}")
    if _SLOT.findall(raw["principle"]) != ["text"]:
        raise UsageError(f"{path}: principle must hold the slot {{{{ text }}}} once and no other")
    messages = raw["messages"]
    if not isinstance(messages, list) or not messages:
        raise UsageError(f"{path}: messages must be a list of role and content")
    for number, message in enumerate(messages, 1):
        good = isinstance(message, dict) and message.keys() == {"role", "content"} and isinstance(message["content"], str)
        if not good or message["role"] not in get_args(Role):
            raise UsageError(f"{path}: message {number} needs role ({', '.join(get_args(Role))}) and content (a text)")
    used = [slot for message in messages for slot in _SLOT.findall(message["content"])]
    if sorted(used) != sorted(SLOTS[mode]):
        raise UsageError(f"{path}: a {mode} template holds each of the slots {sorted(SLOTS[mode])} once, found {sorted(used)}")
    return Template(
        mode=mode,
        version=raw["version"],
        choices=tuple(choices),
        principle=raw["principle"],
        messages=tuple((message["role"], message["content"]) for message in messages),
    )
