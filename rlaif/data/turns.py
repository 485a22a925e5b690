"""Conversations in the forms that datasets write them in: message lists, ShareGPT's, transcripts, and single texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from rlaif.data.rows import ToolCall, Turn
from rlaif.data.values import BadRecordError, kind, parsed, plain, sequence, text

ROLES = ("system", "developer", "user", "assistant", "tool")
"""Roles that messages may have. What a developer says is a system turn."""
SENDERS: Mapping[str, str] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "assistant": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
}
"""Role by the name that ``from`` gives in ShareGPT's form."""
_REASONING = ("reasoning_content", "reasoning", "thinking")
_TEXT_PARTS = ("text", "input_text", "output_text")

_HH_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_HH_ROLE = {"Human": "user", "Assistant": "assistant"}
_HH_PROMPT = re.compile(r"\s*Human:.*\n\nAssistant:|\n\nHuman:", re.DOTALL)
_HH_OPENING = re.compile(r"(?P<system>\S.*?)(?P<rest>\n\nHuman:.*\n\nAssistant:\s*)", re.DOTALL)


def hh_turns(transcript: str) -> tuple[Turn, ...]:
    """The turns of an HH-RLHF transcript, ``\\n\\nHuman: …\\n\\nAssistant: …``; () where the text is not one."""
    pieces = _HH_TURN.split(transcript)
    if len(pieces) < 3 or pieces[0].strip():
        return ()
    return tuple(
        Turn(role=_HH_ROLE[name], content=content.removeprefix(" "))
        for name, content in zip(pieces[1::2], pieces[2::2], strict=True)
    )


def hh_prompt(prompt: str) -> tuple[Turn, ...]:
    """The conversation of a prompt in Anthropic's form; () where the text is not one.

    ``Assistant:`` at the end, where the answer is to come, is no turn. A text before the first turn is a system turn.
    """
    opening = _HH_OPENING.fullmatch(prompt)
    system, rest = (opening["system"].strip(), opening["rest"]) if opening and not _HH_PROMPT.match(prompt) else ("", prompt)
    if not _HH_PROMPT.match(rest):
        return ()
    turns = hh_turns(rest)
    if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"].strip():
        turns = turns[:-1]
    return (*([Turn(role="system", content=system)] if system else []), *turns)


def read_turns(name: str, value: Sequence[Any]) -> tuple[Turn, ...]:
    """A list of messages, with ``role`` and ``content`` or with ``from`` and ``value``."""
    if not value:
        raise BadRecordError(f"{name}: an empty list of messages")
    return tuple(_turn(f"{name}, message {number}", message) for number, message in enumerate(value, 1))


def conversation(name: str, value: Any) -> tuple[Turn, ...]:
    """What a prompt's value says: a text is one user turn, or the turns of a transcript; a message list is itself.

    An object of ``messages`` (and ``tools``) is OpenAI's form of a request; one with ``text`` or ``full_text`` is that text.
    """
    if isinstance(value, Mapping):
        held = {str(key): item for key, item in value.items() if item is not None}
        if "messages" in held:
            return with_tools(conversation(f"{name}, messages", held["messages"]), held.get("tools"))
        inner = next((key for key in ("full_text", "text", "content", "post") if key in held), None)
        if inner is None:
            raise BadRecordError(f"{name}: an object needs messages or text, found {', '.join(held) or 'no keys'}")
        return conversation(name, held[inner])
    messages = sequence(value)
    if messages is not None:
        return read_turns(name, messages)
    if not isinstance(value, str):
        raise BadRecordError(f"{name}: must be a text or a list of messages, found {kind(value)}")
    if not value.strip():
        raise BadRecordError(f"{name}: an empty text")
    return hh_prompt(text(name, value)) or (Turn(role="user", content=value),)


def answer(name: str, value: Any) -> tuple[Turn, ...]:
    """What a response's value says: a text is one assistant turn, or the turns of a transcript; messages are themselves."""
    if isinstance(value, Mapping):
        if not ({"role", "content"} <= value.keys() or {"from", "value"} <= value.keys()):
            raise BadRecordError(
                f"{name}: must be a text or a list of messages, found an object with {', '.join(map(str, value))}"
            )
        return (_turn(name, value),)
    messages = sequence(value)
    if messages is not None:
        return read_turns(name, messages)
    if not isinstance(value, str):
        raise BadRecordError(f"{name}: must be a text or a list of messages, found {kind(value)}")
    transcript = hh_turns(value) if text(name, value).startswith("\n\nHuman:") else ()
    return transcript or (Turn(role="assistant", content=value),)


def with_system(turns: tuple[Turn, ...], system: Any) -> tuple[Turn, ...]:
    """The conversation after a system turn of the text ``system`` (null or empty: none)."""
    if system is None or system == "" or system != system:
        return turns
    first = Turn(role="system", content=text("system", system))
    if turns[0]["role"] != "system":
        return (first, *turns)
    if not alike(turns[:1], (first,)):
        raise BadRecordError("system: the conversation has a system turn of its own, and the two differ")
    return turns


def with_tools(turns: tuple[Turn, ...], tools: Any) -> tuple[Turn, ...]:
    """The conversation with the tools that may be called in it: a list of JSON schemas, or its JSON text; else as it is."""
    listed = sequence(parsed(tools))
    if not listed or not all(isinstance(tool, Mapping) for tool in listed) or "tools" in turns[0]:
        return turns
    first = turns[0].copy()
    first["tools"] = json.dumps(_without_nulls(plain("tools", listed)), ensure_ascii=False)
    return (first, *turns[1:])


def alike(first: Sequence[Turn], second: Sequence[Turn]) -> bool:
    """Whether two runs of turns say the same, whatever their white space."""
    return len(first) == len(second) and all(
        _bare(first_turn) == _bare(second_turn) for first_turn, second_turn in zip(first, second, strict=True)
    )


def after(prompt: tuple[Turn, ...], name: str, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """A response without the prompt's turns, where it begins with them."""
    for start in range(len(prompt)):  # a response may repeat the last turns alone
        repeated = prompt[start:]
        if repeated[0]["role"] != "assistant" and alike(turns[: len(repeated)], repeated):
            turns = turns[len(repeated) :]
            break
    if not turns:
        raise BadRecordError(f"{name}: repeats the prompt and answers nothing")
    roles = [turn["role"] for turn in turns]
    if roles[0] in ("system", "user") and "assistant" in roles:
        raise BadRecordError(
            f"{name}: begins with a {roles[0]} turn that is not the prompt's; "
            "a response must begin and end with an assistant turn"
        )
    return turns


def _bare(turn: Turn) -> dict[str, Any]:
    return {**turn, "content": " ".join(turn["content"].split()), "tools": None}


def _turn(where: str, message: Any) -> Turn:
    if isinstance(message, Mapping) and "role" not in message and {"from", "value"} <= message.keys():
        sender = message["from"]
        if sender not in SENDERS:
            raise BadRecordError(f"{where}: from must be one of {', '.join(SENDERS)}, found {sender!r}")
        if sender == "function_call":
            return Turn(role="assistant", content="", tool_calls=_calls(where, parsed(message["value"])))
        return Turn(role=SENDERS[sender], content=text(f"{where}, value", message["value"]))
    if not isinstance(message, Mapping) or "role" not in message or not ({"content", "tool_calls"} & message.keys()):
        what = f"an object with {', '.join(map(str, message))}" if isinstance(message, Mapping) else kind(message)
        raise BadRecordError(f"{where}: must be an object with role and content, found {what}")
    if message["role"] not in ROLES:
        raise BadRecordError(f"{where}: role must be one of {', '.join(ROLES)}, found {message['role']!r}")
    # Parquet and datasets fill the keys that a message lacks with null: those say nothing.
    held = {str(key): value for key, value in message.items() if value is not None}
    calls = held.get("tool_calls") or ([held["function_call"]] if "function_call" in held else [])
    content, thoughts = _content(where, held.get("content", "" if calls else held.get("refusal")))
    turn = Turn(role="system" if message["role"] == "developer" else message["role"], content=content)
    reasoning = next((held[key] for key in _REASONING if isinstance(held.get(key), str) and held[key]), thoughts)
    if reasoning and turn["role"] == "assistant":
        turn["reasoning_content"] = text(f"{where}, reasoning", reasoning)
    if sequence(calls):
        turn["tool_calls"] = _calls(f"{where}, tool_calls", calls)
    if turn["role"] == "tool":
        if isinstance(held.get("tool_call_id"), str):
            turn["tool_call_id"] = text(f"{where}, tool_call_id", held["tool_call_id"])
        if isinstance(held.get("name"), str):
            turn["name"] = text(f"{where}, name", held["name"])
    if isinstance(held.get("tools"), str):
        turn["tools"] = text(f"{where}, tools", held["tools"])
    return turn


def _content(where: str, content: Any) -> tuple[str, str]:
    """(text, reasoning) of a message's content, which may come in parts."""
    parts = sequence(content)
    if parts is None:
        return text(f"{where}, content", content), ""
    texts, thoughts = [], []
    for number, part in enumerate(parts, 1):
        part = {"type": "text", "text": part} if isinstance(part, str) else part
        what = part.get("type") if isinstance(part, Mapping) else kind(part)
        if what in _TEXT_PARTS:
            texts.append(text(f"{where}, content, part {number}", part.get("text")))
        elif what in ("thinking", "reasoning"):
            thoughts.append(text(f"{where}, content, part {number}", part.get(what, part.get("text"))))
        else:
            raise BadRecordError(f"{where}, content, part {number}: only parts of text can be read, found {what!r}")
    return "".join(texts), "\n".join(thoughts)


def _calls(where: str, value: Any) -> list[ToolCall]:
    calls = []
    for number, call in enumerate([value] if isinstance(value, Mapping) else sequence(value) or [value], 1):
        function = call.get("function", call) if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise BadRecordError(f"{where}, call {number}: must be an object with function, which has name and arguments")
        arguments = function.get("arguments", function.get("parameters"))
        if not isinstance(arguments, str):
            arguments = json.dumps(plain(where, {} if arguments is None else arguments), ensure_ascii=False)
        own_id = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
        called = {"name": text(where, function["name"]), "arguments": text(where, arguments)}
        calls.append(cast(ToolCall, {**own_id, "type": "function", "function": called}))
    return calls


def _without_nulls(value: Any) -> Any:
    """Parquet fills the keys that one schema lacks and another has with null."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
