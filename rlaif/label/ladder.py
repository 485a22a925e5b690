"""Ratings of many policies: their responses to the same prompts meet in the pairs that tell most, judged by a critic."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rlaif.critic.strengths import Strengths, bradley_terry
from rlaif.data.read import read_rows
from rlaif.data.records import PreferenceRecord, read_records
from rlaif.data.rows import Response, Row
from rlaif.data.write import atomic_write, dumps
from rlaif.errors import UsageError
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.outcome import Found
from rlaif.evaluate.pairing import PRIOR, Pair, most_informative
from rlaif.evaluate.ranking import SCALE, Comparisons, comparisons, intervals, ratings, table
from rlaif.evaluate.requirements import NUMBER, Range
from rlaif.label.config import LabelConfig, LadderConfig
from rlaif.label.run import run_label
from rlaif.label.win_rate import responses
from rlaif.progress import Progress

EACH = 100
"""Comparisons for each policy, unless the user says otherwise."""
ROUND, SHARE = 16, 0.1
"""Comparisons of a round: so many, or this share of those so far."""
_NAMED = re.compile(r"([\w.-]+)=(.+)")


class Meeting(NamedTuple):
    """A prompt, and each policy's response to it. responses: by the policy's number; those that did not answer have none.
    number: of the prompt, whose meetings depend on each other. place: which of each policy's responses to it."""

    row: Row
    responses: Mapping[int, Response]
    number: int
    place: int


def climb(config: LadderConfig, progress: Progress | None = None) -> Found:
    """Rate the policies; the labels are in ``config.out``, as of ``rlaif label``, and the same command continues.

    Raises UsageError where there are no responses to compare, RunFailed where the critic cannot be asked.
    """
    progress = progress or Progress()
    named = policies(config)
    files = [
        responses(given, config.out.with_name(f"{config.out.name}-{number}-{_slug(name)}.jsonl"), config, progress)
        for number, (name, given) in enumerate(named.items(), 1)
    ]
    met = list(meetings(files, config.limit))
    source = config.out.with_name(f"{config.out.name}-responses.jsonl")
    with atomic_write(source) as file:
        file.writelines(dumps(_as_row(meeting, [*named])) + "\n" for meeting in met)
    rounds = Ladder(met, [*named], budget(config), config.width, config.critic.seed)
    if not rounds.total:
        raise UsageError(f"{', '.join(config.policies)}: no prompt has responses from two of them")
    critic = replace(config.critic, mode="compare")
    run_label(LabelConfig(source=str(source), critic=critic, out=config.out, overwrite=config.overwrite), progress, rounds)
    data = comparisons(read_records(config.out / "preferences.jsonl", PreferenceRecord))
    rated = ratings(data, config.bootstrap, config.critic.seed)
    figures = {rating.name: Interval(rating.rating, rating.low, rating.high) for rating in rated}
    facts = [f"{len(data.p):,} comparisons of {rounds.possible:,}, on {len(np.unique(data.row)):,} prompts"]
    if missing := [name for name in named if name not in figures]:
        facts.append(f"no rating: {', '.join(missing)} answered no prompt that another policy answered")
    return Found(rated, table(rated), figures, facts)


def policies(config: LadderConfig) -> dict[str, str]:
    """By name, what each policy is. Raises UsageError for fewer than two, and for two of one name."""
    named: dict[str, str] = {}
    for given in config.policies:
        match = None if Path(given).exists() else _NAMED.fullmatch(given)
        name, what = (match[1], match[2]) if match else (given, given)
        if name in named:
            raise UsageError(f"{name}: two policies of this name; NAME=… gives one another")
        named[name] = what
    if len(named) < 2:
        raise UsageError("a ladder needs two policies or more")
    return named


def measures(config: LadderConfig) -> dict[str, Range]:
    """What can be required: each policy's rating, by its name."""
    return dict.fromkeys(policies(config), NUMBER)


def budget(config: LadderConfig) -> int:
    """Comparisons at most."""
    return config.budget or EACH * len(config.policies)


def meetings(files: Sequence[Path], limit: int | None) -> Iterator[Meeting]:
    """The prompts that two policies or more have answered; their n-th responses to it meet. limit: prompts at most."""
    rows: dict[str, Row] = {}
    answers: dict[str, dict[int, tuple[Response, ...]]] = {}
    for policy, file in enumerate(files):
        for row in read_rows(str(file), limit):
            if isinstance(row, Row):
                prompt = repr(row.conversation)
                rows.setdefault(prompt, row)
                answers.setdefault(prompt, {})[policy] = row.responses
    for number, (prompt, by_policy) in enumerate(answers.items(), 1):
        for place in range(max(map(len, by_policy.values()), default=0)):
            here = {policy: held[place] for policy, held in by_policy.items() if place < len(held)}
            if len(here) > 1:
                yield Meeting(rows[prompt], here, number, place)


class Ladder:
    """Rounds of comparisons, each of the pairs that tell most after the rounds before (``evaluate.pairing``).

    Of a pair's meetings, the next is on the prompt that was asked about least: many prompts make narrow intervals.
    """

    def __init__(self, met: Sequence[Meeting], names: Sequence[str], budget: int, width: float | None, seed: int) -> None:
        self._names, self._width = names, width
        self._open: dict[Pair, list[Meeting]] = {}
        shuffled = random.Random(seed).sample(met, len(met))
        for pair in itertools.combinations(range(len(names)), 2):
            both = [meeting for meeting in shuffled if set(pair) <= meeting.responses.keys()]
            if both:
                self._open[pair] = both
        self.possible = sum(map(len, self._open.values()))
        self.total = min(budget, self.possible)
        self._asked: Counter[int] = Counter()
        self._records: list[PreferenceRecord] = []

    def seen(self, record: PreferenceRecord) -> None:
        self._records.append(record)

    def __iter__(self) -> Iterator[list[Row]]:
        done = 0
        while done < self.total and not self._narrow():
            size = min(max(ROUND, round(SHARE * done)), self.total - done)
            left = {pair: len(meetings) for pair, meetings in self._open.items()}
            rows = [self._row(pair) for pair in most_informative(self._strengths(), size, left)]
            done += len(rows)
            yield rows

    def _row(self, pair: Pair) -> Row:
        waiting = self._open[pair]
        meeting = waiting.pop(min(range(len(waiting)), key=lambda place: self._asked[waiting[place].number]))
        self._asked[meeting.number] += 1
        first, second = (
            replace(meeting.responses[side], extra={**meeting.responses[side].extra, "model": self._names[side]}, gold={})
            for side in pair
        )
        name = f"{meeting.row.id}#{meeting.place}:{self._names[pair[0]]}-{self._names[pair[1]]}"
        return replace(meeting.row, number=meeting.number, id=name, responses=(first, second), preferred=None)

    def _data(self) -> Comparisons:
        return comparisons(self._records)

    def _strengths(self) -> Strengths:
        data, number = self._data(), {name: index for index, name in enumerate(self._names)}
        of = np.array([number[name] for name in data.names], dtype=np.int64)
        i, j = (of[side] if len(of) else side for side in (data.i, data.j))
        return bradley_terry(i, j, data.p, len(self._names), PRIOR)

    def _narrow(self) -> bool:
        """Whether every rating is known well enough."""
        data = self._data()
        if self._width is None or len(data.names) < len(self._names):
            return False
        _, low, high = intervals(data)
        return bool((SCALE * (high - low)).max() <= self._width)


def _as_row(meeting: Meeting, names: Sequence[str]) -> dict[str, object]:
    """For ``rlaif label``: all responses to the prompt, each with its ``model``."""
    listed = [
        {"messages": list(each.turns), **each.extra, "model": names[policy]} for policy, each in meeting.responses.items()
    ]
    return {
        **meeting.row.extra,
        "id": f"{meeting.row.id}#{meeting.place}",
        "prompt": list(meeting.row.conversation),
        "responses": listed,
    }


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-")[-60:]
