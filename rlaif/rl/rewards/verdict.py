"""The reward of a policy that is itself a critic: its reasons must lead to the known label in both orders of the responses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rlaif.critic.ask import Critic
from rlaif.critic.modes.base import ORDERS
from rlaif.critic.modes.compare import comparison
from rlaif.critic.store import VerdictStore
from rlaif.critic.verdict import Comparison, Failure, FailureReason
from rlaif.engines.base import Prompt
from rlaif.errors import UsageError
from rlaif.rl.questions import KNOWN, PRINCIPLE
from rlaif.rl.rewards.base import Context, Opened, given
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.tally import column, tally
from rlaif.rl.rollout import Rewards, Rollout

AGREEMENT = "agreement"
"""The column that says whether a rationale leads to the known label in its own order."""
NO_VERDICT = (FailureReason.LABEL_MASS_LOW, FailureReason.TRUNCATED, FailureReason.PARSE_FAILED)
"""Of the policy's own making: its reasons did not end, say nothing, or leave no label likely. No verdict is a wrong one."""


@dataclass(frozen=True)
class VerdictReward:
    """A RewardSource for answers to ``rl.questions``. critic: reads the label behind each rationale, as in labelling.

    The samples of both orders are taken together in the order in which they were drawn, the first of one with the first of the
    other. Both get 1 where both lead to the known label, and else 0; nothing where the critic failed to answer and the other
    order is not wrong already. Source: J1, Whitehouse et al. 2025, arXiv 2505.10320 (consistency reward).
    """

    critic: Critic

    async def __call__(self, rollouts: Sequence[Rollout]) -> Rewards:
        found = await self._verdicts(rollouts)
        right = [_right(verdict, rollout.query.row.extra[KNOWN]) for verdict, rollout in zip(found, rollouts, strict=True)]
        values: list[float | None] = [None] * len(rollouts)
        for first, second in _both_orders(rollouts):
            values[first] = values[second] = consistent(right[first], right[second])
        failures = [verdict.reason if isinstance(verdict, Failure) else "" for verdict in found]
        reasons = [reason or "no verdict in the other order" for reason in failures]
        return tally(column(values), {AGREEMENT: column(right)}, reasons)

    async def _verdicts(self, rollouts: Sequence[Rollout]) -> list[Comparison | Failure]:
        """Of each rollout, the verdict of its own order; p is that of the row's first response."""
        judge = self.critic.judge
        asked = {
            index: self._prompt(rollout) for index, rollout in enumerate(rollouts) if rollout.ended and rollout.text.strip()
        }
        answers = await self.critic.engine.choose([*asked.values()], judge.template.choices) if asked else []
        labels = dict(zip(asked, answers, strict=True))
        nothing = Failure(FailureReason.TRUNCATED, "the reasons did not end, or are empty")
        return [
            comparison([labels.get(index, nothing)], "ba" if rollout.query.swapped else "ab", judge.min_mass)
            for index, rollout in enumerate(rollouts)
        ]

    def _prompt(self, rollout: Rollout) -> Prompt:
        """What the critic reads before the label."""
        row, judge = rollout.query.row, self.critic.judge
        if not rollout.query.other:
            raise UsageError("--reward verdict rewards answers to the judge's own questions, which rlaif train makes of pairs")
        principle = next(each for each in judge.constitution.principles if each.id == row.extra[PRINCIPLE])
        first, second = (response.turns for response in row.responses)
        questions = judge.both_orders(principle, row.conversation, first, second).questions
        return judge.prompt(questions[ORDERS["both"].index(rollout.query.swapped)], rollout.text)


def consistent(first: float | None, second: float | None) -> float | None:
    """1 where both are right (1), 0 where one is wrong (0), None where that is not known."""
    if 0 in (first, second):
        return 0.0
    return None if first is None or second is None else 1.0


def open_verdict(config: RewardConfig, context: Context) -> Opened:
    """``--reward verdict``: labels are read by ``--critic``, or by the policy as training found it. Raises UsageError for
    settings that play no part in it."""
    asked = replace(config.critic, mode="compare", reasons=True)
    given(asked.constitution, "verdict", "--constitution")
    if context.reference is None:
        raise UsageError("--reward verdict: there is no policy here whose verdicts could be rewarded")
    models = asked.models or (context.reference,)
    for name, wrong in (
        ("--critic", len(models) > 1),
        ("--orders", asked.orders != "both"),
        ("--votes", asked.votes > 1),
        ("--labels", asked.labels != "logprobs"),
        ("--clamp", asked.clamp is not None),
    ):
        if wrong:
            raise UsageError(f"{name}: --reward verdict reads one critic's label behind each rationale, in both orders")
    engine = context.engine(models[0], asked.engine)
    store = context.exits.enter_context(VerdictStore(asked.store))
    (critic,) = asked.critics([engine], store)
    judge = critic.judge
    facts = {
        "critic": judge.identity,
        "constitution": judge.constitution.digest,
        "template": judge.template.digest,
        "min_mass": judge.min_mass,
    }
    return VerdictReward(critic), facts


def _right(verdict: Comparison | Failure, known: float) -> float | None:
    """1 where the verdict is on the label's side, 0 where it is not or the policy came to none, None where it was not read."""
    if isinstance(verdict, Failure):
        return 0.0 if verdict.reason in NO_VERDICT else None
    return float((verdict.p - 0.5) * (known - 0.5) > 0)


def _both_orders(rollouts: Sequence[Rollout]) -> list[tuple[int, int]]:
    """Indexes of the rollouts that belong together: of one group, one of either order."""
    drawn: dict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for index, rollout in enumerate(rollouts):
        drawn[rollout.query.group][rollout.query.swapped].append(index)
    return [pair for orders in drawn.values() for pair in zip(*orders, strict=True)]
