"""Direct rewards: the critic reads each rollout as the loop makes it (direct RLAIF, Lee et al. 2023, arXiv 2309.00267).

What the critic is asked is a list of trials: a response by itself, two samples of one prompt, or a sample and the reference
policy's answer. A rollout's reward is the mean over its trials.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import NamedTuple, Protocol

from rlaif.config_file import shown
from rlaif.constitution.types import Principle
from rlaif.critic.aggregate import Opinion, preference, reward
from rlaif.critic.answers import fresh_answers
from rlaif.critic.judge import Asked, Judge, Question, in_cache_order
from rlaif.critic.store import VerdictStore
from rlaif.critic.verdict import Comparison, Failure, FailureReason, Ranking, Score
from rlaif.data.rows import Response, Row, Turn
from rlaif.engines.base import Choice, Engine, Sampling
from rlaif.errors import UsageError
from rlaif.rl.rewards.base import Context, Opened, given
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.reference import ReferenceAnswers
from rlaif.rl.rewards.tally import FAILED, column, tally
from rlaif.rl.rollout import Rewards, Rollout

ASKED = frozenset(("orders", "min_mass", "shots", "reasons", "reasons_tokens", "clamp", "votes", "votes_temperature", "seed"))
"""Settings of the critic that change its rewards, besides what the digests say."""
Verdicts = Sequence[tuple[Principle, Comparison | Score | Failure]]


class Trial(NamedTuple):
    """One thing to judge: response ``subject[0]`` of row by itself, or against ``subject[1]``.

    owners: the rollouts whose responses these are, in the order of subject; the last may be missing (nobody's rollout).
    """

    row: Row
    subject: tuple[int, ...]
    owners: tuple[int, ...]


class Plan(Protocol):
    """Rollouts to trials, and why there is none for the rollouts that cannot have one."""

    async def __call__(self, rollouts: Sequence[Rollout]) -> tuple[list[Trial], dict[int, Failure]]: ...


@dataclass(frozen=True)
class CriticReward:
    """A RewardSource. plan: ``alone`` for a judge of scores, ``within_groups`` or ``against_reference`` for comparisons.

    Rewards are in [-1, 1] for scores and in [0, 1], the probability of being better, for comparisons. Columns: one per
    principle, and the share of the rollout's verdicts that failed.
    """

    engine: Engine
    judge: Judge
    plan: Plan
    store: VerdictStore | None = None

    async def __call__(self, rollouts: Sequence[Rollout]) -> Rewards:
        trials, impossible = await self.plan(rollouts)
        asked = [self.judge.ask(trial.row, trial.subject) for trial in trials]
        answers = await self._answers({q.key: q for items in asked for q in in_cache_order(items)})
        records = [_Record() for _ in rollouts]
        for trial, items in zip(trials, asked, strict=True):
            verdicts = [(item.principle, self._verdict(item, answers)) for item in items]
            together = preference if len(trial.subject) == 2 else reward
            total = together([_opinion(*found) for found in verdicts], self.judge.aggregate)
            for place, owner in enumerate(trial.owners):
                records[owner].add(verdicts, total, mirrored=place == 1)
        for owner, failure in impossible.items():
            records[owner].failures[failure.reason] += 1
        names = [principle.id for principle in self.judge.constitution.principles]
        columns = {name: column([_mean(record.parts.get(name)) for record in records]) for name in names}
        columns[FAILED] = column([record.failure_rate for record in records])
        return tally(column([_mean(record.totals) for record in records]), columns, [record.reason for record in records])

    def _verdict(self, asked: Asked, answers: Mapping[bytes, Choice | Failure]) -> Comparison | Score | Failure:
        verdict = self.judge.verdict([answers[question.key] for question in asked.questions])
        assert not isinstance(verdict, Ranking)  # no plan asks for one
        return verdict

    async def _answers(self, questions: Mapping[bytes, Question]) -> dict[bytes, Choice | Failure]:
        """An answer to each question, from the store where it has one."""
        found = self.store.get(list(questions)) if self.store else {}
        answers = {name: answer for name, answer in found.items() if isinstance(answer, Choice | Failure)}
        prompts = {name: self.judge.prompt(question) for name, question in questions.items() if name not in answers}
        choices = self.judge.template.choices
        fresh = await fresh_answers(self.engine, prompts, lambda some: self.engine.choose(some, choices), self.store)
        return answers | {name: answer for name, answer in fresh.items() if isinstance(answer, Choice | Failure)}


def open_critic(config: RewardConfig, context: Context) -> Opened:
    """``--reward critic``. Raises UsageError where critic or constitution are not named, or cannot be used."""
    asked = replace(config.critic, mode="score" if config.feedback == "score" else "compare")
    models = given(asked.models, "critic", "--critic")
    given(asked.constitution, "critic", "--constitution")
    engines = [context.engine(model, asked.engine) for model in dict.fromkeys(models)]
    store = context.exits.enter_context(VerdictStore(asked.store))
    first, *_ = asked.critics(engines, store)
    facts = {
        "feedback": config.feedback,
        "critic": " + ".join(engine.identity for engine in engines),
        "constitution": first.judge.constitution.digest,
        "template": first.judge.template.digest,
        "aggregate": first.judge.aggregate,
        "opponents": config.opponents,
        **{name: value for name, value in shown(asked).items() if name in ASKED},
    }
    return CriticReward(first.engine, first.judge, _plan(config, context), store), facts


def _plan(config: RewardConfig, context: Context) -> Plan:
    if config.feedback == "score":
        return alone
    if config.feedback == "group":
        return within_groups(config.opponents)
    if context.reference is None or context.out is None:
        raise UsageError("--feedback reference: there is no policy here to compare with")
    engine = context.engine(context.reference, replace(config.critic.engine, context=None))
    store = context.exits.enter_context(VerdictStore(context.out / "reference-answers.sqlite"))
    return against_reference(ReferenceAnswers(engine, Sampling(context.max_tokens, temperature=0.0), store))


async def alone(rollouts: Sequence[Rollout]) -> tuple[list[Trial], dict[int, Failure]]:
    """Each response by itself."""
    return [Trial(_row(rollout.query.row, [rollout.text]), (0,), (place,)) for place, rollout in enumerate(rollouts)], {}


def within_groups(opponents: int | None) -> Plan:
    """Each response against others of its prompt: all of them, or its neighbours around a ring, at least ``opponents``.

    Raises UsageError, when called, for a prompt with a single sample.
    """

    async def plan(rollouts: Sequence[Rollout]) -> tuple[list[Trial], dict[int, Failure]]:
        groups: dict[int, list[int]] = {}
        for place, rollout in enumerate(rollouts):
            groups.setdefault(rollout.query.group, []).append(place)
        trials = []
        for members in groups.values():
            if len(members) == 1:
                raise UsageError("--feedback group compares samples of one prompt with each other: give --samples 2 or more")
            row = _row(rollouts[members[0]].query.row, [rollouts[place].text for place in members])
            trials += [Trial(row, pair, (members[pair[0]], members[pair[1]])) for pair in ring(len(members), opponents)]
        return trials, {}

    return plan


def against_reference(answers: Callable[[Sequence[Row]], Awaitable[list[str | Failure]]]) -> Plan:
    """Each response against the reference policy's answer to its prompt. answers: gives these for rows, in their order."""

    async def plan(rollouts: Sequence[Rollout]) -> tuple[list[Trial], dict[int, Failure]]:
        trials, failures = [], {}
        for place, answer in enumerate(await answers([rollout.query.row for rollout in rollouts])):
            if isinstance(answer, Failure):
                failures[place] = answer
            else:
                row = _row(rollouts[place].query.row, [rollouts[place].text, answer])
                trials.append(Trial(row, (0, 1), (place,)))
        return trials, failures

    return plan


def ring(n: int, opponents: int | None) -> list[tuple[int, int]]:
    """Pairs (i, j), i < j, of n in a ring: each one with its ⌈opponents / 2⌉ nearest neighbours on both sides; all for None."""
    reach = n // 2 if opponents is None else min(n // 2, (opponents + 1) // 2)
    return sorted({(min(i, j), max(i, j)) for i in range(n) for j in ((i + step) % n for step in range(1, reach + 1))})


@dataclass
class _Record:
    """What the critic said of one rollout so far."""

    totals: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    failures: Counter[FailureReason] = field(default_factory=Counter)

    def add(
        self, verdicts: Sequence[tuple[Principle, Comparison | Score | Failure]], total: float | None, mirrored: bool
    ) -> None:
        """mirrored: the rollout is the second of the pair, and its probability of being better the complement."""
        for principle, verdict in verdicts:
            if isinstance(verdict, Failure):
                self.failures[verdict.reason] += 1
            else:
                self.parts.setdefault(principle.id, []).append(1.0 - _value(verdict) if mirrored else _value(verdict))
        if total is not None:
            self.totals.append(1.0 - total if mirrored else total)

    @property
    def failure_rate(self) -> float | None:
        """None where nothing was asked."""
        failed = self.failures.total()
        asked = failed + sum(map(len, self.parts.values()))
        return failed / asked if asked else None

    @property
    def reason(self) -> str:
        """The commonest failure; of a rollout that no principle applies to, the row's."""
        return self.failures.most_common(1)[0][0] if self.failures else FailureReason.BAD_ROW


def _row(row: Row, texts: Sequence[str]) -> Row:
    """The row's prompt with these responses in place of its own."""
    responses = tuple(Response((Turn(role="assistant", content=text),)) for text in texts)
    return Row(row.number, row.id, row.conversation, responses, extra=row.extra)


def _opinion(principle: Principle, verdict: Comparison | Score | Failure) -> Opinion:
    return Opinion(None if isinstance(verdict, Failure) else _value(verdict), principle.weight, principle.gate)


def _value(verdict: Comparison | Score) -> float:
    return verdict.p if isinstance(verdict, Comparison) else verdict.score


def _mean(values: Sequence[float] | None) -> float | None:
    return fmean(values) if values else None
