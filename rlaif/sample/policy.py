"""Responses for rows that come with a prompt alone: drawn from a policy, and kept in the store like every other answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, cast

from rlaif.critic.answers import answered
from rlaif.critic.store import Answer, VerdictStore, key
from rlaif.data.rows import BadRow, Response, Row, Turn
from rlaif.engines.base import Engine, Failure, Message, Prompt, Role, Sampling, Segment
from rlaif.engines.reasoning import split_reasoning
from rlaif.errors import UsageError

_MORE: tuple[Literal["tool_calls", "tool_call_id", "name", "tools"], ...] = ("tool_calls", "tool_call_id", "name", "tools")
GROUP = 512
"""Responses asked of the policy in one call."""


@dataclass(frozen=True)
class PolicySampler:
    """Whom to sample from, and how; ``sampling.n`` responses per prompt."""

    engine: Engine
    sampling: Sampling

    def __post_init__(self) -> None:
        if self.sampling.temperature == 0 and self.sampling.n > 1:
            raise UsageError(
                f"temperature 0 is greedy, so all {self.sampling.n} responses to a prompt would be the same; "
                "sample 1, or give a temperature above 0"
            )


async def with_responses(
    rows: Iterable[Row | BadRow], policy: PolicySampler | None, store: VerdictStore
) -> AsyncIterator[Row | BadRow]:
    """The rows in order, those with less than two responses given samples, a group at a time and one group ahead."""
    if policy is None:
        for row in rows:
            yield row
        return
    ahead: asyncio.Task[list[Row | BadRow]] | None = None
    try:
        for group in _groups(rows, max(1, GROUP // policy.sampling.n)):
            done, ahead = ahead, asyncio.create_task(_sample(group, policy, store))
            for row in await done if done else ():
                yield row
        for row in await ahead if ahead else ():
            yield row
    finally:
        if ahead:
            ahead.cancel()


async def _sample(group: list[Row | BadRow], policy: PolicySampler, store: VerdictStore) -> list[Row | BadRow]:
    shape = policy.sampling
    how = (shape.max_tokens, shape.temperature, shape.top_p, shape.n, shape.seed)
    names = {
        row.number: key("sample", policy.engine.identity, row.conversation, how)
        for row in group
        if isinstance(row, Row) and len(row.responses) < 2
    }
    wanted = {names[row.number]: as_prompt(row.conversation) for row in group if isinstance(row, Row) and row.number in names}
    sampled = await answered(policy.engine, wanted, partial(policy.engine.generate, sampling=shape), store)
    return [
        _sampled(row, sampled.answers[names[row.number]]) if isinstance(row, Row) and row.number in names else row
        for row in group
    ]


def _sampled(row: Row, answer: Answer) -> Row | BadRow:
    if isinstance(answer, list):
        drawn = [
            Response((Turn(role="assistant", content=generation.text),), {"finish": generation.finish}) for generation in answer
        ]
        return replace(row, responses=tuple(drawn))
    assert isinstance(answer, Failure)
    return BadRow(row.number, f"the policy gave no response: {answer.reason} {answer.detail}".rstrip())


def as_prompt(conversation: Iterable[Turn]) -> Prompt:
    """The conversation as the policy sees it: nothing in it is trusted, whoever the turn is from. Reasoning that an assistant's
    turn begins with is told apart, as the model's chat template wants it."""
    return tuple(map(_message, conversation))


def _message(turn: Turn) -> Message:
    more: dict[str, Any] = {name: turn[name] for name in _MORE if name in turn}
    content = turn["content"]
    if turn["role"] == "assistant":
        if "reasoning_content" in turn:
            more["reasoning_content"], content = f"\n{turn['reasoning_content']}\n", f"\n\n{content}"
        elif parts := split_reasoning(content):
            more["reasoning_content"], content = parts
    held = json.dumps(more, ensure_ascii=False) if more else ""
    return Message(cast(Role, turn["role"]), (Segment(content, False),), held)


def _groups(rows: Iterable[Row | BadRow], size: int) -> Iterator[list[Row | BadRow]]:
    group: list[Row | BadRow] = []
    for row in rows:
        group.append(row)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
