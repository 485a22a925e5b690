"""Direct rewards: the critic reads each rollout as the loop makes it (direct RLAIF, Lee et al. 2023, arXiv 2309.00267).

What the critic is asked is a list of trials: a response by itself, two samples of one prompt, or a sample and the reference
policy's answer. A rollout's reward is the mean over its trials.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import NamedTuple, Protocol

from rlaif.config_file import shown
from rlaif.critic.aggregate import opinions, preference, reward
from rlaif.critic.ask import Critic, Replies
from rlaif.critic.jury import Judged, Jury, Verdicts, swapped
from rlaif.critic.pairs import ring
from rlaif.critic.store import VerdictStore
from rlaif.critic.verdict import Failure, FailureReason
from rlaif.data.rows import Response, Row, Turn
from rlaif.engines.base import Sampling
from rlaif.errors import UsageError
from rlaif.rl.rewards.base import Context, Opened, given
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.reference import ReferenceAnswers
from rlaif.rl.rewards.tally import FAILED, column, of_principle, tally
from rlaif.rl.rollout import Rewards, Rollout

ASKED = frozenset(("orders", "min_mass", "shots", "reasons", "reasons_tokens", "clamp", "votes", "votes_temperature", "seed"))
"""Settings of the critic that change its rewards, besides what the digests say."""


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
    """A RewardSource. critics: see ``critic.jury``; they are asked and read as in labelling, reasons, shots and votes included.
    plan: ``alone`` for a mode that scores single responses, ``within_groups`` or ``against_reference`` for comparisons.

    Rewards are in [-1, 1] for scores and in [0, 1], the probability of being better, for comparisons. Columns:
    ``principles/ID``, and the share of the rollout's verdicts that failed.
    """

    critics: tuple[Critic, ...]
    plan: Plan

    async def __call__(self, rollouts: Sequence[Rollout]) -> Rewards:
        jury = Jury(self.critics)
        trials, impossible = await self.plan(rollouts)
        plans = [jury.plan(trial.row, trial.subject) for trial in trials]
        replies = Replies()
        await jury.ask(plans, replies)
        records = [_Tally() for _ in rollouts]
        for trial, plan in zip(trials, plans, strict=True):
            verdicts = jury.verdicts([plan], replies)
            for owner, (judged, total) in zip(trial.owners, _sides(jury, verdicts, trial.subject), strict=False):
                records[owner].add(verdicts, judged, total)
        for owner, failure in impossible.items():
            records[owner].asked += 1
            records[owner].failures[failure.reason] += 1
        names = [principle.id for principle in jury.judge.constitution.principles]
        columns = {of_principle(name): column([_mean(record.parts.get(name)) for record in records]) for name in names}
        columns[FAILED] = column([record.failure_rate for record in records])
        return tally(column([_mean(record.totals) for record in records]), columns, [record.reason for record in records])


def _sides(jury: Jury, verdicts: Verdicts, subject: tuple[int, ...]) -> list[tuple[Judged, float | None]]:
    """For each response of ``subject``, what is said of it by each principle, and by all together."""
    how = jury.judge.aggregate
    if len(subject) == 1:
        scored = jury.on_response(verdicts, *subject)
        return [(scored, reward(opinions(scored), how))]
    compared = jury.on_pair(verdicts, subject[0], subject[1])
    return [(judged, preference(opinions(judged), how)) for judged in (compared, swapped(compared))]


def open_critic(config: RewardConfig, context: Context) -> Opened:
    """``--reward critic``. Raises UsageError where critic or constitution are not named, or cannot be used."""
    asked = replace(config.critic, mode="score" if config.feedback == "score" else "compare")
    models = given(asked.models, "critic", "--critic")
    given(asked.constitution, "critic", "--constitution")
    engines = [context.engine(model, asked.engine) for model in dict.fromkeys(models)]
    store = context.exits.enter_context(VerdictStore(asked.store))
    critics = asked.critics(engines, store)
    judge = critics[0].judge
    facts = {
        "feedback": config.feedback,
        "critic": " + ".join(critic.judge.identity for critic in critics),
        "constitution": judge.constitution.digest,
        "template": judge.template.digest,
        "aggregate": judge.aggregate,
        "opponents": config.opponents,
        **{name: value for name, value in shown(asked).items() if name in ASKED},
    }
    return CriticReward(critics, _plan(config, context)), facts


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
    return [Trial(_row(rollout.query.row, [rollout.text]), (0,), (index,)) for index, rollout in enumerate(rollouts)], {}


def within_groups(opponents: int | None) -> Plan:
    """Each response against others of its prompt: all of them, or its neighbours around a ring, at least ``opponents``.

    Raises UsageError, when called, for a prompt with a single sample.
    """

    async def plan(rollouts: Sequence[Rollout]) -> tuple[list[Trial], dict[int, Failure]]:
        groups: dict[int, list[int]] = {}
        for index, rollout in enumerate(rollouts):
            groups.setdefault(rollout.query.group, []).append(index)
        trials = []
        for members in groups.values():
            if len(members) == 1:
                raise UsageError("--feedback group compares samples of one prompt with each other: give --samples 2 or more")
            row = _row(rollouts[members[0]].query.row, [rollouts[index].text for index in members])
            trials += [Trial(row, pair, (members[pair[0]], members[pair[1]])) for pair in ring(len(members), opponents)]
        return trials, {}

    return plan


def against_reference(answers: Callable[[Sequence[Row]], Awaitable[list[str | Failure]]]) -> Plan:
    """Each response against the reference policy's answer to its prompt. answers: gives these for rows, in their order."""

    async def plan(rollouts: Sequence[Rollout]) -> tuple[list[Trial], dict[int, Failure]]:
        trials, failures = [], {}
        for index, answer in enumerate(await answers([rollout.query.row for rollout in rollouts])):
            if isinstance(answer, Failure):
                failures[index] = answer
            else:
                row = _row(rollouts[index].query.row, [rollouts[index].text, answer])
                trials.append(Trial(row, (0, 1), (index,)))
        return trials, failures

    return plan


@dataclass
class _Tally:
    """What the critics said of one rollout so far. asked: verdicts, failed ones included."""

    asked: int = 0
    totals: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    failures: Counter[FailureReason] = field(default_factory=Counter)

    def add(self, verdicts: Verdicts, judged: Judged, total: float | None) -> None:
        """verdicts: each critic's. judged, total: what these say of this rollout together."""
        every = [verdict for by_critic in verdicts.values() for by_subject in by_critic for verdict in by_subject.values()]
        self.asked += len(every)
        self.failures.update(verdict.reason for verdict in every if isinstance(verdict, Failure))
        for principle, verdict in judged:
            if not isinstance(verdict, Failure):
                self.parts.setdefault(principle.id, []).append(verdict.value)
        if total is not None:
            self.totals.append(total)

    @property
    def failure_rate(self) -> float | None:
        """None where nothing was asked."""
        return self.failures.total() / self.asked if self.asked else None

    @property
    def reason(self) -> str:
        """The commonest failure; of a rollout that no principle applies to, the row's."""
        return self.failures.most_common(1)[0][0] if self.failures else FailureReason.BAD_ROW


def _row(row: Row, texts: Sequence[str]) -> Row:
    """The row's prompt with these responses in place of its own."""
    responses = tuple(Response((Turn(role="assistant", content=text),)) for text in texts)
    return Row(row.number, row.id, row.conversation, responses, extra=row.extra)


def _mean(values: Sequence[float] | None) -> float | None:
    return fmean(values) if values else None
