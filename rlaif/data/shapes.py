"""The accepted row shapes, told apart by their columns: a source's record in, a Row out."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal

from rlaif.data.rows import Response, Row, Turn

Shape = Literal["responses", "pair", "conversations", "prompt"]
ROLES = ("system", "user", "assistant", "tool")
ACCEPTED = "prompt + responses; prompt + chosen + rejected; chosen + rejected as whole conversations; prompt alone"

_HH_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_HH_ROLE = {"Human": "user", "Assistant": "assistant"}
_LIKE_PROMPT = re.compile(r"prompt|instruction|question|query|input|messages|conversation", re.IGNORECASE)
_LIKE_RESPONSE = re.compile(
    r"(.*_)?(response|completion|output|answer|reply|generation|candidate)s?(_?([a-z]|\d+))?", re.IGNORECASE
)


class BadRecordError(ValueError):
    """The record cannot be a row; the message is the detail of the BadRow."""


class NoShapeError(BadRecordError):
    """The record has no columns, or they fit no accepted shape."""


def shape_of(columns: Collection[str]) -> Shape:
    """Which accepted shape these columns have. Raises NoShapeError naming the nearest one."""
    names = set(columns)
    if {"prompt", "responses"} <= names:
        return "responses"
    if {"chosen", "rejected"} <= names:
        return "pair" if "prompt" in names else "conversations"
    if "prompt" in names and not names & {"chosen", "rejected"}:
        return "prompt"
    raise NoShapeError(_nearest(columns))


def to_row(number: int, record: Any) -> Row:
    """The row that a source's record holds. Raises BadRecordError saying what is wrong with it."""
    if not isinstance(record, Mapping):
        raise NoShapeError(f"a row must be an object with columns, found {_kind(record)}")
    shape = shape_of(record)
    used = {"responses": ("prompt", "responses"), "prompt": ("prompt",)}.get(shape, ("prompt", "chosen", "rejected"))
    responses: tuple[Response, ...] = ()
    if shape == "prompt":
        conversation = _conversation(record["prompt"])
    elif shape == "responses":
        conversation = _conversation(record["prompt"])
        responses = _responses(record["responses"], conversation)
    elif shape == "pair":
        conversation, pair = _pair(record)
        responses = tuple(map(Response, pair))
    else:
        conversation, pair = _part_ways(_whole("chosen", record["chosen"]), _whole("rejected", record["rejected"]))
        responses = tuple(map(Response, pair))
    extra = {name: plain(name, value) for name, value in record.items() if name not in used and name != "id"}
    own_id = plain("id", record.get("id"))
    return Row(
        number=number,
        id=str(number) if own_id is None else own_id if isinstance(own_id, str) else json.dumps(own_id, ensure_ascii=False),
        conversation=conversation,
        responses=responses,
        preferred=0 if shape in ("pair", "conversations") else None,
        extra=extra,
    )


def plain(name: str, value: Any) -> Any:
    """``value`` as JSON can hold it: NaN becomes null, times ISO texts, bytes text or base64, arrays lists.

    Raises BadRecordError for text that no UTF-8 file can hold.
    """
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _clean(name, value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_clean(name, str(key)): plain(name, item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(name, item) for item in value]
    if isinstance(value, bytes | bytearray):
        try:
            return bytes(value).decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    as_list: Callable[[], Any] | None = getattr(value, "tolist", None)  # numpy arrays and scalars, without importing numpy
    if callable(as_list):
        return plain(name, as_list())
    if value != value:  # pandas.NaT
        return None
    as_iso: Callable[[], str] | None = getattr(value, "isoformat", None)
    return as_iso() if callable(as_iso) else _clean(name, str(value))


def hh_turns(text: str) -> tuple[Turn, ...]:
    """The turns of an HH-RLHF transcript, ``\\n\\nHuman: …\\n\\nAssistant: …``; () where the text is not one."""
    pieces = _HH_TURN.split(text)
    if len(pieces) < 3 or pieces[0].strip():
        return ()
    return tuple(
        Turn(role=_HH_ROLE[name], content=content.removeprefix(" "))
        for name, content in zip(pieces[1::2], pieces[2::2], strict=True)
    )


def _clean(name: str, text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise BadRecordError(
                f"{name}: not valid UTF-8 (a byte or half of a surrogate pair that stands for no character)"
            ) from None
    return text


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise BadRecordError(f"{name}: must be a text, found {_kind(value)}")
    return _clean(name, value)


def _sequence(value: Any) -> Sequence[Any] | None:
    """A list, a tuple or a numpy array as a sequence; None for anything else."""
    if isinstance(value, list | tuple):
        return value
    return value.tolist() if hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1 else None


def _turns(name: str, value: Sequence[Any]) -> tuple[Turn, ...]:
    if not value:
        raise BadRecordError(f"{name}: an empty list of messages")
    turns = []
    for number, message in enumerate(value, 1):
        where = f"{name}, message {number}"
        if not isinstance(message, Mapping) or "role" not in message or "content" not in message:
            found = f"an object with {', '.join(map(str, message))}" if isinstance(message, Mapping) else _kind(message)
            raise BadRecordError(f"{where}: must be an object with role and content, found {found}")
        if message["role"] not in ROLES:
            raise BadRecordError(f"{where}: role must be one of {', '.join(ROLES)}, found {message['role']!r}")
        turns.append(Turn(role=message["role"], content=_text(f"{where}, content", message["content"])))
    return tuple(turns)


def _conversation(prompt: Any) -> tuple[Turn, ...]:
    messages = _sequence(prompt)
    if messages is not None:
        return _turns("prompt", messages)
    if not isinstance(prompt, str):
        raise BadRecordError(f"prompt: must be a text or a list of messages, found {_kind(prompt)}")
    if not prompt.strip():
        raise BadRecordError("prompt: an empty text")
    return (Turn(role="user", content=_text("prompt", prompt)),)


def _answer(name: str, value: Any) -> tuple[Turn, ...]:
    """A text is one assistant turn; a message list is itself."""
    messages = _sequence(value)
    if messages is not None:
        return _turns(name, messages)
    if not isinstance(value, str):
        raise BadRecordError(f"{name}: must be a text or a list of messages, found {_kind(value)}")
    return (Turn(role="assistant", content=_text(name, value)),)


def _responses(value: Any, conversation: tuple[Turn, ...]) -> tuple[Response, ...]:
    items = _sequence(value)
    if items is None:
        raise BadRecordError(
            f"responses: must be a list of texts, of objects with text, or of message lists, found {_kind(value)}"
        )
    if not items:
        raise BadRecordError("responses: an empty list")
    return tuple(_response(f"response {number}", item, conversation) for number, item in enumerate(items, 1))


def _response(name: str, item: Any, conversation: tuple[Turn, ...]) -> Response:
    if isinstance(item, Mapping):
        if "text" not in item:
            raise BadRecordError(f"{name}: an object needs the key text, found {', '.join(map(str, item)) or 'no keys'}")
        extra = {str(key): plain(f"{name}, {key}", held) for key, held in item.items() if key not in ("text", "gold")}
        text = _text(f"{name}, text", item["text"])
        return Response((Turn(role="assistant", content=text),), extra, _gold(name, item.get("gold")))
    turns = _answer(name, item)
    if turns[: len(conversation)] == conversation:
        turns = turns[len(conversation) :]
        if not turns:
            raise BadRecordError(f"{name}: repeats the prompt and answers nothing")
    return Response(turns)


def _gold(name: str, value: Any) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise BadRecordError(f"{name}, gold: must be an object of principle id to number, found {_kind(value)}")
    # Parquet and datasets fill the keys that a row lacks with null: those say nothing.
    known = {str(key): plain(name, number) for key, number in value.items()}
    for key, number in known.items():
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise BadRecordError(f"{name}, gold of {key}: must be a number, found {_kind(number)}")
    return {key: float(number) for key, number in known.items() if number is not None}


def _pair(record: Mapping[str, Any]) -> tuple[tuple[Turn, ...], tuple[tuple[Turn, ...], tuple[Turn, ...]]]:
    """Message lists that repeat the prompt (with what came before it, if anything) are cut after it."""
    asked = _conversation(record["prompt"])
    chosen, rejected = _answer("chosen", record["chosen"]), _answer("rejected", record["rejected"])
    shared = _shared(chosen, rejected)
    for end in range(shared, len(asked) - 1, -1):
        if chosen[end - len(asked) : end] == asked:
            return chosen[:end], (chosen[end:], rejected[end:])
    for name, turns in (("chosen", chosen), ("rejected", rejected)):
        if turns == asked:
            raise BadRecordError(f"{name}: repeats the prompt and answers nothing")
    return asked, (chosen, rejected)


def _whole(name: str, value: Any) -> tuple[Turn, ...]:
    messages = _sequence(value)
    if messages is not None:
        return _turns(name, messages)
    if not isinstance(value, str):
        raise BadRecordError(f"{name}: must be a text or a list of messages, found {_kind(value)}")
    turns = hh_turns(_text(name, value))
    if not turns:
        raise BadRecordError(
            f"{name}: with no prompt column it must be a whole conversation, a list of messages or a text such as "
            "'\\n\\nHuman: …\\n\\nAssistant: …'; add a prompt column if it is an answer alone"
        )
    return turns


def _part_ways(
    chosen: tuple[Turn, ...], rejected: tuple[Turn, ...]
) -> tuple[tuple[Turn, ...], tuple[tuple[Turn, ...], tuple[Turn, ...]]]:
    shared = _shared(chosen, rejected)
    if not shared:
        raise BadRecordError("chosen and rejected share no first turn, so they do not answer the same conversation")
    return chosen[:shared], (chosen[shared:], rejected[shared:])


def _shared(first: tuple[Turn, ...], second: tuple[Turn, ...]) -> int:
    """How many turns both begin with, leaving each at least one to answer with."""
    most = min(len(first), len(second)) - 1
    return next((at for at in range(most) if first[at] != second[at]), most)


def _kind(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "nothing (null)"
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}
    return names.get(type(value), type(value).__name__)


def _nearest(columns: Iterable[str]) -> str:
    names = [str(name) for name in columns]
    found = f"found the columns {', '.join(names)}" if names else "found no columns"
    if "responses" in names:
        advice = "the nearest is prompt + responses: a prompt column is missing"
    elif "chosen" in names or "rejected" in names:
        advice = f"the nearest is prompt + chosen + rejected: {'rejected' if 'chosen' in names else 'chosen'} is missing"
    else:
        asks = [name for name in names if _LIKE_PROMPT.search(name) and not _LIKE_RESPONSE.fullmatch(name)]
        answers = [name for name in names if _LIKE_RESPONSE.fullmatch(name)]
        steps = [f"rename {asks[0]} to prompt"] if asks and "prompt" not in names else []
        steps += [f"put {', '.join(answers)} into one list, responses"] if answers else []
        nearest = "prompt + responses" if answers else "prompt alone"
        advice = f"the nearest is {nearest}: {', and '.join(steps)}" if steps else f"a row has one of: {ACCEPTED}"
    return f"no accepted shape: {found}; {advice}"
