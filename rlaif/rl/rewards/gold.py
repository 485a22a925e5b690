"""The lab's truth as a source of rewards: what a held-out judge would say if it were never wrong."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from rlaif.engines.base import FailureReason
from rlaif.lab.gold import PRINCIPLES, gold
from rlaif.rl.rewards.base import Context, Opened
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.tally import column, of_principle, tally
from rlaif.rl.rewards.verifier import columns
from rlaif.rl.rollout import Rewards, Rollout


async def gold_reward(rollouts: Sequence[Rollout]) -> Rewards:
    """A RewardSource: the mean of the gold scores, in [0, 1], with a column per principle. Prompts that are not of the lab's
    world are missing."""
    scores = [_scores(rollout) for rollout in rollouts]
    parts = {
        of_principle(name): column([by_principle[name] if by_principle else None for by_principle in scores])
        for name in PRINCIPLES
    }
    totals = column([fmean(by_principle.values()) if by_principle else None for by_principle in scores])
    return tally(totals, parts, [FailureReason.BAD_ROW] * len(rollouts))


def open_gold(config: RewardConfig, context: Context) -> Opened:
    """``--reward gold``."""
    return gold_reward, {}


def _scores(rollout: Rollout) -> dict[str, float] | None:
    try:
        return gold(str(columns(rollout.query.row)["prompt"]), rollout.text)
    except KeyError:
        return None
