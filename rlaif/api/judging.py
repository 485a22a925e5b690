"""What a jury says of rows, in the words of ``rlaif.Critic`` and of ``rlaif serve``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean
from typing import Any

from rlaif.critic.aggregate import opinions, preference, reward
from rlaif.critic.ask import Replies
from rlaif.critic.jury import Jury, Verdicts
from rlaif.critic.store import key
from rlaif.critic.verdict import Comparison, Failure, Score
from rlaif.data.rows import Row
from rlaif.data.shapes import to_row
from rlaif.data.values import BadRecordError
from rlaif.errors import UsageError


@dataclass(frozen=True)
class Preference:
    """p: probability in [0, 1] that the first response is better, all principles considered; None where none has a verdict.

    principles: each one's verdict, or why it has none (``reason``, ``detail``), by id; those that do not apply are not there.
    """

    p: float | None
    principles: Mapping[str, Comparison | Failure]


@dataclass(frozen=True)
class Rating:
    """score: of the response, in [-1, 1], all principles considered; None where none has a verdict. principles: as in
    ``Preference``."""

    score: float | None
    principles: Mapping[str, Score | Failure]


@dataclass(frozen=True)
class Order:
    """order: places of the responses, best first; those of which nothing is known are not in it.

    values: of each response, its mean probability of being better than another one; with ``mode="score"`` its score. None
        where there is no verdict. pairs: what was said of each two, by their places.
    """

    order: tuple[int, ...]
    values: tuple[float | None, ...]
    pairs: Mapping[tuple[int, int], Preference]


def row_of(number: int, prompt: Any, responses: Sequence[Any], columns: Mapping[str, Any] | None = None) -> Row:
    """A row to judge; number: of the prompt, in messages.

    Raises UsageError where a prompt or a response is none.
    """
    try:
        row = to_row(number, {**(columns or {}), "prompt": prompt, "responses": list(responses)})
    except BadRecordError as error:
        raise UsageError(f"prompt {number}: {error}") from None
    # ``aggregate: sampled`` draws by the id, and what is asked about a prompt must not depend on its place in a batch.
    return replace(row, id=key(row.conversation, [response.turns for response in row.responses]).hex())


async def _asked(jury: Jury, rows: Sequence[Row]) -> list[Verdicts]:
    """The verdicts on each row, on all its pairs or responses; all rows are asked at once."""
    pairs = [list(combinations(range(len(row.responses)), 2)) for row in rows]
    for row in rows:
        if unfit := jury.mode.unfit(len(row.responses)):
            raise UsageError(f"prompt {row.number}: {unfit}")
    plans = [
        [jury.plan(row, subject) for subject in jury.mode.subjects(len(row.responses), some)]
        for row, some in zip(rows, pairs, strict=True)
    ]
    replies = Replies()
    await jury.ask([plan for some in plans for plan in some], replies)
    return [jury.verdicts(some, replies) for some in plans]


async def compared(jury: Jury, rows: Sequence[Row]) -> list[Preference]:
    """Of each row, whether its first response is better than its second."""
    return [_preference(jury, verdicts, 0, 1) for verdicts in await _asked(jury, rows)]


async def scored(jury: Jury, rows: Sequence[Row]) -> list[Rating]:
    """Of each row, how good its first response is. jury: of a mode that scores."""
    return [_rating(jury, verdicts, 0) for verdicts in await _asked(jury, rows)]


async def ranked(jury: Jury, rows: Sequence[Row]) -> list[Order]:
    """Of each row, which of its responses are better."""
    orders = []
    for row, verdicts in zip(rows, await _asked(jury, rows), strict=True):
        n = len(row.responses)
        pairs = {(i, j): _preference(jury, verdicts, i, j) for i, j in combinations(range(n), 2)}
        values = [_rating(jury, verdicts, i).score if jury.mode.scores else _wins(pairs, i) for i in range(n)]
        known = [(i, value) for i, value in enumerate(values) if value is not None]
        order = tuple(i for i, _ in sorted(known, key=lambda item: -item[1]))
        orders.append(Order(order, tuple(values), pairs))
    return orders


def _preference(jury: Jury, verdicts: Verdicts, first: int, second: int) -> Preference:
    judged = jury.on_pair(verdicts, first, second)
    p = preference(opinions(judged), jury.judge.aggregate)
    return Preference(p, {principle.id: verdict for principle, verdict in judged})


def _rating(jury: Jury, verdicts: Verdicts, index: int) -> Rating:
    judged = jury.on_response(verdicts, index)
    return Rating(reward(opinions(judged), jury.judge.aggregate), {principle.id: verdict for principle, verdict in judged})


def _wins(pairs: Mapping[tuple[int, int], Preference], index: int) -> float | None:
    """Mean probability that the response at ``index`` is better than another one; None where nothing is known."""
    own = [
        (preference.p if i == index else 1.0 - preference.p)
        for (i, j), preference in pairs.items()
        if index in (i, j) and preference.p is not None
    ]
    return fmean(own) if own else None
