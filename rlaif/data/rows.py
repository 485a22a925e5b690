"""What a dataset row is once its shape has been recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict

from rlaif.errors import printable


class Function(TypedDict):
    """A function that the assistant calls. arguments: JSON text."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    """One call of an assistant's turn, as OpenAI's chat format writes it."""

    id: NotRequired[str]
    type: str
    function: Function


class Turn(TypedDict):
    """One message of a conversation, as datasets hold it. Roles: system, user, assistant, tool.

    Most turns have a role and a content alone. reasoning_content: what the assistant thought before it answered.
    tool_calls: what it called. tool_call_id, name: of a tool's turn, the call that it answers and the tool. tools: of a
    conversation's first turn, the JSON text of the tools that may be called.
    """

    role: str
    content: str
    reasoning_content: NotRequired[str]
    tool_calls: NotRequired[list[ToolCall]]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]
    tools: NotRequired[str]


@dataclass(frozen=True, slots=True)
class Response:
    """One answer to a row's conversation.

    turns: nearly always one assistant turn; several where two whole conversations part ways early.
    extra: what else the dataset says of it (``model``, …).
    gold: known-true scores by principle id, higher is better, where the dataset has them; only ever compared with.
    ``overall`` is of the response as a whole: a rating, the negative of a rank, or 1 and 0 for a known preference.
    """

    turns: tuple[Turn, ...]
    extra: Mapping[str, Any] = field(default_factory=dict)
    gold: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """number: 1-based line or row in the source. id: the row's own ``id`` as text, else its number as text.
    preferred: index of the response that the dataset's own (human) label prefers, None where there is no such label.
    extra: the other columns, kept in the output."""

    number: int
    id: str
    conversation: tuple[Turn, ...]
    responses: tuple[Response, ...]
    preferred: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used, and why. It becomes an entry of ``failures.jsonl``; the run goes on."""

    number: int
    detail: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "detail", printable(self.detail))  # it quotes the row
