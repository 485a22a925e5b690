"""Prompt templates: YAML files under ``prompts/`` that turn a sample and a principle into the critic's messages.

Text from templates and constitutions is trusted; conversations and responses are not. Slots are filled in one pass, so
a response that holds ``{{ principle }}`` is just text, and tags that the template uses as fences are defused inside
untrusted text, so that no content can close one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from rlaif.critic.modes import MODES
from rlaif.data.rows import Turn
from rlaif.engines.base import ANSWER, Engine, Message, Prompt, Role, Segment
from rlaif.errors import UsageError
from rlaif.files import read_text
from rlaif.shipped import shipped_folder

TEXTS = 64
"""Defused texts that are kept at hand."""
ENDS = frozenset({"worst", "best"})
"""Slots that the ends of a scale stand in, so that the question can be asked on several."""
TURN_TAGS = ("system", "user", "assistant", "tool")
"""Roles of a conversation's turns; each turn is fenced by a tag of that name."""
PART_TAGS = ("assistant_reasoning", "assistant_tool_call", "available_tools")
"""Fences of what a turn holds besides its text."""

_SLOT = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_TAG = re.compile(r"</?([A-Za-z]\w*)>")


@dataclass(frozen=True)
class Form:
    """What a prompt file holds: ``conversation``, ``principle``, and what is said here.

    file: its name without ``.yaml``. mode: whose question it asks; principles may have a wording of their own for it.
    responses: the slots of the responses, one each; with ``numbered``, the one slot of all of them.
    labels: the choices that answer it, ``two`` (first and second response) or a ``scale`` from worst to best; None where the
        answer is a text.
    then: slots of the messages that follow the first answer, where it goes on after that.
    folder: where the file is unless the user says otherwise; None for our own.
    """

    file: str
    mode: str
    responses: tuple[str, ...]
    numbered: bool = False
    labels: Literal["two", "scale"] | None = None
    then: frozenset[str] = frozenset()
    folder: Path | None = None

    @property
    def slots(self) -> frozenset[str]:
        return frozenset({"conversation", "principle", *self.responses})


class Shot(NamedTuple):
    """A worked example, shown before the sample. label: the choice that is right, or the critique that ``revision`` follows."""

    conversation: Sequence[Turn]
    responses: Sequence[Sequence[Turn]]
    label: str
    revision: str = ""


@dataclass(frozen=True)
class Template:
    """A parsed prompt file. ``render`` is pure; ``digest`` changes with anything that could change a rendered prompt.

    then: the messages that follow a rationale and ask for the label, or follow a critique and ask for the revision; empty where
        the label is asked for at once.
    scales: what ``choices`` may be instead, where a critic's tokenizer cannot tell those apart; most wanted first.
    answer: what the critic's answer begins with, so that the label comes next; '' where it answers in its own way.
    """

    form: Form
    version: int
    choices: tuple[str, ...]
    principle: str
    messages: tuple[tuple[Role, str], ...]
    then: tuple[tuple[Role, str], ...] = ()
    scales: tuple[tuple[str, ...], ...] = ()
    answer: str = ""

    @property
    def mode(self) -> str:
        return self.form.mode

    @property
    def variants(self) -> tuple[Template, ...]:
        """The template with each of its scales, its own first."""
        return (self, *(replace(self, choices=scale, scales=()) for scale in self.scales))

    @cached_property
    def digest(self) -> str:
        content = [self.mode, self.version, self.choices, self.principle, self.messages, *([self.then] if self.then else [])]
        content += [{"answer": self.answer}] if self.answer else []
        return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode()).hexdigest()[:16]

    @cached_property
    def _fence(self) -> re.Pattern[str]:
        tags = {tag for _, content in self.messages for tag in _TAG.findall(content)} | {*TURN_TAGS, *PART_TAGS}
        tags |= {r"response_\d+"} if self.form.numbered else set()
        return re.compile(rf"<(?=\s*/?\s*(?:{'|'.join(sorted(tags))})\b)", re.IGNORECASE)

    @cached_property
    def defuse(self) -> Callable[[str], str]:
        """A text with the ``<`` of anything that looks like one of this template's tags written as ``&lt;``.

        The questions about a row follow one another and hold the same texts: the last ``TEXTS`` are at hand."""
        return lru_cache(maxsize=TEXTS)(partial(self._fence.sub, "&lt;"))

    def wording(self, text: str, own: str | None) -> str:
        """What stands in the principle slot: the principle's own wording for this mode, or the template's around its text."""
        return own if own is not None else _SLOT.sub(lambda slot: text, self.principle)

    def render(
        self,
        wording: str,
        conversation: Sequence[Turn],
        responses: Sequence[Sequence[Turn]],
        shots: Sequence[Shot] = (),
        rationale: str | None = None,
        request: str = "",
    ) -> Prompt:
        """The critic's prompt for one sample and one principle.

        responses: one for each slot of the form (two to compare: the first is A), or several, numbered from 1; each a list
            of turns, nearly always one.
        shots: worked examples by the same principle; they come from the constitution, so they are trusted.
        rationale: what the critic has said to ``messages`` (in ``revise``, its critique); with it the prompt goes on to
            ``then``. Not trusted.
        request: the principle as ``then`` puts it, where it has a slot for it.
        """
        slots = self._slots(wording, conversation, responses)
        opening = next((index for index, (role, _) in enumerate(self.messages) if role != "system"), 0)
        prompt = _filled(self.messages[:opening], slots)
        for shot in shots:
            shown = {name: _trusted(held) for name, held in self._slots(wording, shot.conversation, shot.responses).items()}
            prompt += _filled(self.messages[opening:], shown)
            if self.then:
                prompt += _filled(self.then, _after(Segment(shot.label, True), request))
            label = f"{self.answer} {shot.label}" if self.answer else shot.label
            prompt.append(Message("assistant", (Segment(shot.revision or label, True),)))
        prompt += _filled(self.messages[opening:], slots)
        if rationale is not None:
            prompt += _filled(self.then, _after(Segment(self.defuse(rationale), False), request))
        if self.answer and (rationale is not None or not self.then):
            prompt.append(Message(ANSWER, (Segment(self.answer, True),)))
        return tuple(prompt)

    def _slots(
        self, wording: str, conversation: Sequence[Turn], responses: Sequence[Sequence[Turn]]
    ) -> dict[str, tuple[Segment, ...]]:
        return {"principle": (Segment(wording, True),), **self._sample_slots(conversation, responses)}

    def _sample_slots(
        self, conversation: Sequence[Turn], responses: Sequence[Sequence[Turn]]
    ) -> Mapping[str, tuple[Segment, ...]]:
        """All slots but the principle's. The questions about a sample follow one another: those of the last one are at hand."""
        match self._last:
            case [(earlier, others, held)] if earlier is conversation and others is responses:
                return held
        slots = {"conversation": self.conversation(conversation)}
        if self.form.labels == "scale":
            slots |= {"worst": (Segment(self.choices[0], True),), "best": (Segment(self.choices[-1], True),)}
        if self.form.numbered:
            numbered = [self._numbered(number, response) for number, response in enumerate(responses, 1)]
            slots[self.form.responses[0]] = tuple(chain.from_iterable(numbered))
        else:
            slots |= {name: self.response(response) for name, response in zip(self.form.responses, responses, strict=True)}
        self._last[:] = [(conversation, responses, slots)]
        return slots

    @cached_property
    def _last(self) -> list[tuple[Sequence[Turn], Sequence[Sequence[Turn]], Mapping[str, tuple[Segment, ...]]]]:
        return []

    def response(self, response: Sequence[Turn]) -> tuple[Segment, ...]:
        """A response as it stands in its slot."""
        alone = len(response) == 1 and response[0]["role"] == "assistant"
        return tuple(self._turn(response[0])) if alone else self.conversation(response)

    def _numbered(self, number: int, response: Sequence[Turn]) -> tuple[Segment, ...]:
        start, end = f"<response_{number}>\n", f"\n</response_{number}>"
        return (Segment(start if number == 1 else f"\n{start}", True), *self.response(response), Segment(end, True))

    def conversation(self, turns: Sequence[Turn]) -> tuple[Segment, ...]:
        """A conversation as it stands in its slot, each turn in a fence."""
        segments: list[Segment] = []
        if turns and "tools" in turns[0]:
            segments += [*self._fenced("available_tools", turns[0]["tools"]), Segment("\n", True)]
        for number, turn in enumerate(turns):
            tag = turn["role"]
            segments += [
                Segment(f"{'' if number == 0 else chr(10)}<{tag}>\n", True),
                *self._turn(turn),
                Segment(f"\n</{tag}>", True),
            ]
        return tuple(segments)

    def _turn(self, turn: Turn) -> list[Segment]:
        """What is said in a turn, with the reasoning before it and the calls after it in fences of their own."""
        parts: list[list[Segment]] = []
        if "reasoning_content" in turn:
            parts.append(self._fenced("assistant_reasoning", turn["reasoning_content"]))
        calls = [f"{call['function']['name']}({call['function']['arguments']})" for call in turn.get("tool_calls", ())]
        if turn["content"] or not calls:
            written = f"{turn['name']}: {turn['content']}" if "name" in turn else turn["content"]
            parts.append([Segment(self.defuse(written), False)])
        parts += [self._fenced("assistant_tool_call", call) for call in calls]
        return [segment for number, part in enumerate(parts) for segment in ([Segment("\n", True)] if number else []) + part]

    def _fenced(self, tag: str, text: str) -> list[Segment]:
        return [Segment(f"<{tag}>\n", True), Segment(self.defuse(text), False), Segment(f"\n</{tag}>", True)]


def _after(written: Segment, request: str) -> dict[str, tuple[Segment, ...]]:
    return {"rationale": (written,), "critique": (written,), "principle": (Segment(request, True),)}


def _trusted(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    return tuple(Segment(segment.text, True) for segment in segments)


def _filled(messages: Sequence[tuple[Role, str]], slots: Mapping[str, tuple[Segment, ...]]) -> list[Message]:
    return [Message(role, _fill(content, slots)) for role, content in messages]


def _fill(content: str, slots: Mapping[str, tuple[Segment, ...]]) -> tuple[Segment, ...]:
    """One pass over the template's text; neighbouring trusted runs are joined, so that they tokenize as one text."""
    parts: list[Segment] = []
    for piece, slot in _pieces(content):
        for segment in slots[piece] if slot else (Segment(piece, True),):
            if segment.trusted and parts and parts[-1].trusted:
                parts[-1] = Segment(parts[-1].text + segment.text, True)
            elif segment.text or not segment.trusted:
                parts.append(segment)
    return tuple(parts)


@lru_cache(maxsize=256)
def _pieces(content: str) -> Sequence[tuple[str, bool]]:
    """A template's text as texts and names of slots, each with whether it is one."""
    return [(piece, number % 2 == 1) for number, piece in enumerate(_SLOT.split(content))]


def default_folder() -> Path:
    """Where the shipped templates are."""
    return shipped_folder("prompts")


def load_template(form: Form | str, folder: Path | None = None) -> Template:
    """Read the prompt file of a form in ``folder``. form: or the name of a mode, ``reasons`` or ``revise``.

    Raises UsageError naming the file (and the line where YAML knows it) for anything that is not a usable template.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    form = _form(form) if isinstance(form, str) else form
    path = (folder or form.folder or default_folder()) / f"{form.file}.yaml"
    try:
        raw: Any = YAML(typ="safe", pure=True).load(read_text(path))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such template; --prompts must name a folder that holds {form.file}.yaml") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"{where}: not valid YAML: {getattr(error, 'problem', error)}") from None
    return _parse(path, form, raw)


def _form(name: str) -> Form:
    from rlaif.critic.modes.compare import REASONS_FORM
    from rlaif.critic.revise import FORM

    others = {form.file: form for form in (REASONS_FORM, FORM)}
    mode: Form = others[name] if name in others else MODES[name].form
    return mode


def fitted(template: Template, engines: Iterable[Engine]) -> Template:
    """``template`` on the first of its scales whose labels every engine can tell apart by their first token.

    Raises UsageError, as ``Engine.check_choices`` does for the last one, where there is none.
    """
    engines = list(engines) if template.choices else []
    *wanted, last = template.variants
    for variant in wanted:
        with suppress(UsageError):
            _check(variant, engines)
            return variant
    _check(last, engines)
    return last


def _check(template: Template, engines: Iterable[Engine]) -> None:
    for engine in engines:
        engine.check_choices(template.choices)


def _parse(path: Path, form: Form, raw: Any) -> Template:
    keys = {"mode", "version", "principle", "messages"}
    keys |= {"choices"} if form.labels else set()
    keys |= {"then"} if form.then else set()
    more = {"answer"} if form.labels else set()
    if not isinstance(raw, dict) or raw.keys() - more != keys:
        given = sorted(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
        optional = ", and answer if wanted" if more else ""
        raise UsageError(
            f"{path}: a {form.file} template has exactly the keys {', '.join(sorted(keys))}{optional}; found {given}"
        )
    if raw["mode"] != form.file:
        raise UsageError(f"{path}: mode is {raw['mode']!r}, but this file is read as the {form.file} template")
    if not isinstance(raw["version"], int) or not isinstance(raw["principle"], str):
        raise UsageError(f"{path}: version must be a whole number and principle a text")
    if _SLOT.findall(raw["principle"]) != ["text"]:
        raise UsageError(f"{path}: principle must hold the slot {{{{ text }}}} once and no other")
    choices, *others = _scales(path, form, raw["choices"]) if form.labels else [()]
    ends = ENDS if form.labels == "scale" else frozenset()
    return Template(
        form=form,
        version=raw["version"],
        choices=choices,
        principle=raw["principle"],
        messages=_messages(path, "messages", raw["messages"], form.slots, ends, bool(others)),
        then=_messages(path, "then", raw["then"], form.then) if form.then else (),
        scales=tuple(others),
        answer=_answer(path, raw["answer"]) if "answer" in raw else "",
    )


def _answer(path: Path, answer: Any) -> str:
    if not isinstance(answer, str) or not answer.strip() or answer != answer.rstrip() or _SLOT.search(answer):
        raise UsageError(
            f"{path}: answer must be a text without slots and without white space at its end, which the label brings; such as "
            f'"Answer:"; found {answer!r}'
        )
    return answer


def _scales(path: Path, form: Form, choices: Any) -> list[tuple[str, ...]]:
    several = (
        form.labels == "scale"
        and isinstance(choices, list)
        and bool(choices)
        and all(isinstance(scale, list) for scale in choices)
    )
    return [_choices(path, form, scale) for scale in (choices if several else [choices])]


def _choices(path: Path, form: Form, choices: Any) -> tuple[str, ...]:
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
        raise UsageError(f"{path}: choices must be two or more texts (quote numbers), found {choices!r}")
    if len(set(choices)) < len(choices):
        raise UsageError(f"{path}: choices repeat a label: {choices!r}")
    if form.labels == "two" and len(choices) != 2:
        raise UsageError(f"{path}: {form.file} takes two choices, first and second response, found {choices!r}")
    return tuple(choices)


def _messages(
    path: Path, key: str, messages: Any, slots: frozenset[str], more: frozenset[str] = frozenset(), needed: bool = False
) -> tuple[tuple[Role, str], ...]:
    """more: slots that may stand there too, or with ``needed`` must."""
    if not isinstance(messages, list) or not messages:
        raise UsageError(f"{path}: {key} must be a list of role and content")
    for number, message in enumerate(messages, 1):
        good = isinstance(message, dict) and message.keys() == {"role", "content"} and isinstance(message["content"], str)
        if not good or message["role"] not in get_args(Role):
            raise UsageError(f"{path}: {key}: message {number} needs role ({', '.join(get_args(Role))}) and content (a text)")
    used = [slot for message in messages for slot in _SLOT.findall(message["content"])]
    expected = slots | (more if needed else more & set(used))
    if sorted(used) != sorted(expected):
        raise UsageError(f"{path}: {key} hold each of the slots {sorted(expected)} once, found {sorted(used)}")
    return tuple((message["role"], message["content"]) for message in messages)
