"""What an iteration's line of ``metrics.jsonl`` says. Pure functions of tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from rlaif.rl.batch import Batch
from rlaif.rl.experience import Experience, Views
from rlaif.rl.maths import kl
from rlaif.rl.rollout import Rewards, Rollout


def of_rewards(rewards: Rewards, rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Means of rewards and columns over what is not missing, by task too where there are several; shares that are missing and
    that ended by themselves; tokens per response."""
    figures = {"reward": _mean(rewards.values), "reward_std": _std(rewards.values)}
    figures |= {f"reward/{name}": _mean(values) for name, values in rewards.columns.items()}
    tasks = [rollout.query.task for rollout in rollouts]
    if len(set(tasks)) > 1:
        for task in sorted(set(tasks)):
            mine = torch.tensor([each == task for each in tasks])
            figures[f"task/{task}"] = _mean(rewards.values[mine])
    figures["failed"] = 1.0 - rewards.valid.float().mean().item()
    figures["ended"] = sum(rollout.ended for rollout in rollouts) / len(rollouts)
    figures["length"] = sum(len(rollout.ids) for rollout in rollouts) / len(rollouts)
    return figures


def of_views(batch: Batch, views: Views) -> dict[str, float]:
    """kl: mean over responses of Σ log π − log ref. entropy: per token. mismatch: mean |log π of the trainer − of the sampler|
    per token, where the two should agree."""
    divergence = kl.sequence_kl(kl.k1(views.logp, views.reference, batch.mask), batch.mask)
    apart = (views.logp - batch.sampled)[batch.mask].abs()
    return {
        "kl": divergence.mean().item(),
        "entropy": views.entropy[batch.mask].mean().item(),
        "mismatch": apart.mean().item(),
        "mismatch_max": apart.max().item(),
    }


def of_experience(experience: Experience, has_values: bool) -> dict[str, float]:
    """importance: mean weight of a token. explained_variance: share of the returns' variance that the values explain."""
    mask = experience.batch.mask
    figures = {"importance": experience.weights[mask].mean().item(), "advantage_std": _std(experience.advantages[mask])}
    if has_values:
        returns, values = experience.returns[mask], experience.views.values[mask]
        figures["value"] = values.mean().item()
        figures["explained_variance"] = 1.0 - _std(returns - values) ** 2 / max(_std(returns) ** 2, 1e-12)
    return figures


def scores_by_row(rewards: Rewards, rollouts: Sequence[Rollout]) -> dict[int, list[float]]:
    """The rewards of each prompt, by its row's number."""
    found: dict[int, list[float]] = {}
    for rollout, value, valid in zip(rollouts, rewards.values.tolist(), rewards.valid.tolist(), strict=True):
        if valid:
            found.setdefault(rollout.query.row.number, []).append(value)
    return found


def alike(rewards: Rewards, rollouts: Sequence[Rollout]) -> list[int]:
    """The groups that have at least two rewards, all of them the same."""
    seen: dict[int, list[float]] = {}
    for rollout, value, valid in zip(rollouts, rewards.values.tolist(), rewards.valid.tolist(), strict=True):
        if valid:
            seen.setdefault(rollout.query.group, []).append(value)
    return [group for group, values in seen.items() if len(values) > 1 and max(values) - min(values) < 1e-6]


def _mean(values: Tensor) -> float:
    return values[~values.isnan()].mean().item()


def _std(values: Tensor) -> float:
    known = values[~values.isnan()]
    return known.std(correction=0).item() if len(known) else math.nan
