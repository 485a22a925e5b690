"""The prompts of a run: read once, encoded for the policy, and drawn in an order that can be continued exactly."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rlaif.critic.reasons import Reasons
from rlaif.data.read import named_columns, read_rows
from rlaif.data.records import FailureRecord
from rlaif.data.rows import BadRow
from rlaif.engines.base import Failure, FailureReason
from rlaif.engines.tokens import PromptEncoder
from rlaif.errors import UsageError
from rlaif.rl.maths.curriculum import chance, learnability
from rlaif.rl.rollout import Query
from rlaif.sample.policy import as_prompt
from rlaif.train.items import group_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from rlaif.models.load import Base
    from rlaif.rl.config import RlConfig


def read_queries(
    source: str, limit: int | None, tokenizer: PreTrainedTokenizerBase, room: int, columns: Mapping[str, str] | None = None
) -> tuple[list[Query], list[FailureRecord]]:
    """The source's prompts, and an entry of ``failures.jsonl`` for each row that gives none. Responses in it are not read.

    room: the most tokens that a prompt may have; a longer one is cut in its middle. Raises UsageError where nothing is left.
    """
    encoder, queries, failures = PromptEncoder(tokenizer), [], []
    for row in read_rows(source, limit, columns):
        if isinstance(row, BadRow):
            failures.append(FailureRecord(row=row.number, reason=str(FailureReason.BAD_ROW), detail=row.detail))
            continue
        try:
            encoded = encoder.encode(as_prompt(row.conversation), room)
        except UsageError as error:  # of the chat template: one conversation that it refuses is no reason to stop
            encoded = Failure(FailureReason.BAD_ROW, str(error))
        if isinstance(encoded, Failure):
            reason = str(encoded.reason)
            failures.append(FailureRecord(row=row.number, id=row.id, reason=reason, detail=encoded.detail))
            continue
        queries.append(Query(row, str(row.extra.get("task") or ""), 0, tuple(encoded.ids)))
    if not queries:
        why = Reasons.of(failures).commonest(len(failures), "rows") or "it is empty"
        raise UsageError(f"{source}: no row gives a prompt: {why}")
    return queries, failures


def queries_of(config: RlConfig, base: Base) -> tuple[list[Query], list[FailureRecord]]:
    """What a run's policy is asked: the source's prompts, or where its verdicts are rewarded the judge's questions about the
    source's pairs; and the rows that cannot be used. Raises UsageError where nothing is left."""
    if config.rewards.reward == "verdict":
        from rlaif.rl.questions import read_questions

        return read_questions(config, base)
    room = base.context - config.max_tokens
    return read_queries(config.source, config.limit, base.tokenizer, room, named_columns(config.columns))


def hold_out(queries: Sequence[Query], many: int, seed: int, source: str) -> tuple[list[Query], list[Query]]:
    """(training prompts, ``many`` held-out ones, numbered), so that no prompt is on both sides, nor a conversation that a judge
    is asked about by several principles."""
    prompts = sorted(set(map(_held_with, queries)))
    if many >= len(prompts):
        raise UsageError(f"--eval-prompts {many}: {source} has {len(prompts)} prompts, so none would be left to train on")
    held = set(random.Random(f"{seed}/held out").sample(prompts, many))
    once = {_held_with(query): query for query in reversed(queries) if _held_with(query) in held}
    apart = sorted(once.values(), key=lambda query: query.row.number)
    return [query for query in queries if _held_with(query) not in held], [
        replace(query, group=group) for group, query in enumerate(apart)
    ]


def _held_with(query: Query) -> tuple[Any, ...]:
    """Queries of which this is the same are held out together."""
    return (group_of(query.row.conversation),) if query.other else query.ids


class Prompts:
    """Draws prompts: each task's in passes over all of them, every pass in a new order, tasks by their weights.

    weights: by task, 1 for those not named; without any, tasks come as often as they have prompts. curriculum: the least chance
    that a prompt is asked when it comes up, see ``maths.curriculum``; 1 asks all. Where it stands is all in ``state_dict``.
    """

    def __init__(self, queries: Sequence[Query], weights: Mapping[str, float], seed: int, curriculum: float = 1.0) -> None:
        self._curriculum = curriculum
        self._learnable: dict[int, float] = {}
        self._by_task: dict[str, list[Query]] = {}
        for query in queries:
            self._by_task.setdefault(query.task, []).append(query)
        for task in weights:
            if task not in self._by_task:
                known = ", ".join(map(repr, sorted(self._by_task)))
                raise UsageError(f"task {task!r}: no prompt has it in its task column; there are {known}")
        self._weights = [
            float(weights.get(task, 1.0) if weights else len(queries_of_task))
            for task, queries_of_task in self._by_task.items()
        ]
        self._seed = seed
        self._draws = 0
        self._places = dict.fromkeys(self._by_task, (0, 0))  # (pass, place in it)
        self._alike: set[int] = set()
        self._orders: dict[tuple[str, int], list[int]] = {}

    def draw(self, many: int) -> list[Query]:
        """The next prompts, numbered from 0 as groups."""
        choose = random.Random(f"{self._seed}/tasks/{self._draws}")
        self._draws += 1
        tasks = (
            choose.choices(list(self._by_task), self._weights, k=many) if len(self._by_task) > 1 else [*self._by_task] * many
        )
        return [replace(self._next(task), group=group) for group, task in enumerate(tasks)]

    def pass_over(self, alike: Iterable[Query]) -> None:
        """Skip these prompts the next time that they come up, and then ask them again: the policy will have changed."""
        self._alike |= {query.row.number for query in alike}

    def learn(self, scores: Mapping[int, Sequence[float]]) -> None:
        """Heed how the samples of these prompts (by their rows' numbers) scored the last time that they were asked."""
        self._learnable |= {number: learnability(values) for number, values in scores.items() if len(values) > 1}

    def state_dict(self) -> dict[str, Any]:
        places = {task: list(position) for task, position in self._places.items()}
        learnable = [[number, value] for number, value in self._learnable.items()]
        return {"draws": self._draws, "places": places, "alike": sorted(self._alike), "learnable": learnable}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._draws, self._alike = state["draws"], set(state["alike"])
        self._learnable = dict(state["learnable"])
        self._places = {task: (position[0], position[1]) for task, position in state["places"].items()}

    def _next(self, task: str) -> Query:
        while True:
            turn, place = self._places[task]
            order = self._order(task, turn)
            self._places[task] = (turn, place + 1) if place + 1 < len(order) else (turn + 1, 0)
            query = self._by_task[task][order[place]]
            if query.row.number in self._alike:
                self._alike.discard(query.row.number)
            elif self._asks(query.row.number, turn):
                return query

    def _asks(self, number: int, turn: int) -> bool:
        luck = random.Random(f"{self._seed}/curriculum/{number}/{turn}").random()
        return self._curriculum == 1 or luck < chance(number, self._learnable, self._curriculum)

    def _order(self, task: str, turn: int) -> list[int]:
        if (task, turn) not in self._orders:
            self._orders.pop((task, turn - 1), None)
            many = len(self._by_task[task])
            self._orders[task, turn] = random.Random(f"{self._seed}/{task}/{turn}").sample(range(many), many)
        return self._orders[task, turn]
