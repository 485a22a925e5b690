"""One or several critics who judge by the same constitution: each is asked, and the mean of those with a verdict counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from rlaif.constitution.types import Principle
from rlaif.critic.ask import Critic, Replies
from rlaif.critic.judge import Asked, Judge, Question, in_cache_order
from rlaif.critic.modes.base import Mode, Subject
from rlaif.critic.modes.compare import averaged
from rlaif.critic.verdict import Comparison, Failure, Score, Verdict
from rlaif.data.rows import Row

Verdicts = dict[Principle, list[dict[Subject, Verdict | Failure]]]
"""Of one row: by principle, each critic's by subject."""

Judged = Sequence[tuple[Principle, Comparison | Score | Failure]]
"""What is said of one pair or one response, by each principle."""


class Plan(NamedTuple):
    """What each critic is asked about one subject of a row."""

    subject: Subject
    by_critic: list[list[Asked]]


@dataclass(frozen=True)
class Jury:
    """critics: at least one. All have the same constitution and mode."""

    critics: tuple[Critic, ...]

    @property
    def judge(self) -> Judge:
        """The first critic's; the others differ from it in the engine alone."""
        return self.critics[0].judge

    @property
    def mode(self) -> Mode[Any]:
        return self.judge.mode

    @property
    def identity(self) -> str:
        return " + ".join(critic.judge.identity for critic in self.critics)

    def plan(self, row: Row, subject: Subject, principles: Sequence[Principle] | None = None) -> Plan:
        """principles: what to ask about instead of all that applies to the row."""
        return Plan(subject, [critic.judge.ask(row, subject, principles) for critic in self.critics])

    async def ask(self, plans: Iterable[Plan], replies: Replies) -> None:
        """Put to the critics, all at once, what ``replies`` does not hold yet, and add their answers to it."""
        wanted: list[list[Question]] = [[] for _ in self.critics]
        for plan in plans:
            for questions, asked in zip(wanted, plan.by_critic, strict=True):
                questions += [question for question in in_cache_order(asked) if question.key not in replies.answers]
        for fresh in await asyncio.gather(*(critic.ask(missing) for critic, missing in zip(self.critics, wanted, strict=True))):
            replies.add(fresh)

    def verdicts(self, plans: Iterable[Plan], replies: Replies) -> Verdicts:
        """The verdicts on one row, all of whose plans have been asked."""
        verdicts: Verdicts = {}
        for plan in plans:
            for same in zip(*plan.by_critic, strict=True):
                by_critic = verdicts.setdefault(same[0].principle, [{} for _ in self.critics])
                for critic, asked, by_subject in zip(self.critics, same, by_critic, strict=True):
                    by_subject[plan.subject] = critic.verdict(asked, replies)
        return verdicts

    def on_pair(self, verdicts: Verdicts, first: int, second: int) -> list[tuple[Principle, Comparison | Failure]]:
        """The jury's verdict on two of the row's responses by each principle that says something of them."""
        judged = []
        for principle, by_critic in verdicts.items():
            each = [self.mode.on_pair(by_subject, first, second) for by_subject in by_critic]
            known = [verdict for verdict in each if verdict is not None]
            if known:
                judged.append((principle, agreed(known)))
        return judged

    def on_response(self, verdicts: Verdicts, index: int) -> list[tuple[Principle, Score | Failure]]:
        """The jury's verdict on one of the row's responses by each principle that says something of it."""
        judged = []
        for principle, by_critic in verdicts.items():
            each = [self.mode.on_response(by_subject, index) for by_subject in by_critic]
            known = [verdict for verdict in each if verdict is not None]
            if known:
                judged.append((principle, agreed_score(known)))
        return judged


def swapped(judged: Judged) -> Judged:
    """What is said of the pair the other way round."""
    return [(principle, verdict.swap() if isinstance(verdict, Comparison) else verdict) for principle, verdict in judged]


def agreed(verdicts: Sequence[Comparison | Failure]) -> Comparison | Failure:
    """The jury's verdict on a pair: the mean over the critics that have one; the first failure where none has."""
    mean = averaged(verdicts)
    if len(verdicts) == 1 or isinstance(mean, Failure):
        return mean
    return replace(mean, jury=tuple(verdict.p if isinstance(verdict, Comparison) else None for verdict in verdicts))


def agreed_score(verdicts: Sequence[Score | Failure]) -> Score | Failure:
    """The jury's score of a response: the mean of the critics' label distributions, and so of their scores."""
    known = [verdict for verdict in verdicts if isinstance(verdict, Score)]
    if not known or len(verdicts) == 1:
        return verdicts[0]
    return Score(
        score=sum(verdict.score for verdict in known) / len(known),
        distribution=tuple(sum(ps) / len(known) for ps in zip(*(verdict.distribution for verdict in known), strict=True)),
        mass=min(verdict.mass for verdict in known),
        raw=tuple(text for verdict in known for text in verdict.raw),
        cut=max(verdict.cut for verdict in known),
        jury=tuple(verdict.score if isinstance(verdict, Score) else None for verdict in verdicts),
    )
