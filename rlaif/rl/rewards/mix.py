"""Several sources as one reward: weights, normalisation within the group, vetoes, and a choice of sources per task."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from rlaif.errors import UsageError
from rlaif.rl.maths.advantages import comparable, group_normalised
from rlaif.rl.rewards.tally import VETO, of_source
from rlaif.rl.rollout import Rewards, RewardSource, Rollout


class Gate(NamedTuple):
    """Where the source says less than ``below``, the total is ``value``, whatever the others say."""

    below: float
    value: float


class Part(NamedTuple):
    """One source of a mix. optional: where it has no verdict the rest decide; otherwise the rollout has no reward."""

    name: str
    source: RewardSource
    weight: float = 1.0
    optional: bool = False
    gate: Gate | None = None


@dataclass(frozen=True)
class MixReward:
    """A RewardSource. The total is the mean by weight of the parts that the rollout's task uses, then the vetoes.

    normalise: first turn each part into its distance from the mean of its prompt's samples, in standard deviations, so that no
        part counts for more because its numbers are larger (GDPO, arXiv 2601.05242). Vetoes look at the raw values.
    tasks: task to the names of its parts; other tasks use all.

    Columns: each part's raw values under ``sources/NAME``, its own columns under ``sources/NAME/COLUMN``, and
    ``sources/NAME/veto`` (0 or 1) where it has a gate.
    """

    parts: Sequence[Part]
    normalise: bool = False
    tasks: Mapping[str, frozenset[str]] = field(default_factory=dict)

    async def __call__(self, rollouts: Sequence[Rollout]) -> Rewards:
        everything = frozenset(part.name for part in self.parts)
        use = [self.tasks.get(rollout.query.task, everything) for rollout in rollouts]
        used = torch.tensor([[part.name in names for part in self.parts] for names in use], dtype=torch.bool)  # [B, P]
        answers = await asyncio.gather(
            *(_ask(part.source, rollouts, used[:, column]) for column, part in enumerate(self.parts))
        )
        raw = torch.stack([rewards.values for rewards in answers], -1)  # [B, P]
        groups = torch.tensor([rollout.query.group for rollout in rollouts])
        totals = mixed(raw, within_groups(raw, groups) if self.normalise else raw, used, self.parts)
        columns: dict[str, Tensor] = {}
        failures: dict[str, int] = {}
        for part, rewards in zip(self.parts, answers, strict=True):
            columns[of_source(part.name)] = rewards.values
            columns |= {of_source(part.name, name): values for name, values in rewards.columns.items()}
            if part.gate:
                fired = (rewards.values < part.gate.below).float()
                columns[of_source(part.name, VETO)] = fired.masked_fill(rewards.values.isnan(), torch.nan)
            failures |= {f"{part.name}: {reason}": many for reason, many in rewards.failures.items()}
        return Rewards(totals, ~totals.isnan(), columns, failures)


def mixed(raw: Tensor, scaled: Tensor, used: Tensor, parts: Sequence[Part]) -> Tensor:
    """Totals [B] of the parts' values: the mean of ``scaled`` by weight, NaN where a part that is not optional is; vetoes last.

    Args: raw, scaled, used: [B, P]. A veto by ``raw`` stands even where other parts are missing; of several, the lowest.
    """
    known = used & ~scaled.isnan()
    weights = torch.tensor([part.weight for part in parts]) * known
    totals = (scaled.nan_to_num(0.0) * weights).sum(-1) / weights.sum(-1)
    required = torch.tensor([not part.optional for part in parts])
    totals = totals.masked_fill((used & ~known & required).any(-1), torch.nan)
    vetoes = torch.full_like(raw, torch.inf)
    for column, part in enumerate(parts):
        if part.gate:
            vetoes[:, column] = vetoes[:, column].masked_fill(
                used[:, column] & (raw[:, column] < part.gate.below), part.gate.value
            )
    veto = vetoes.amin(-1)
    return torch.where(veto.isinf(), totals, veto)


def within_groups(raw: Tensor, groups: Tensor) -> Tensor:
    """Each part's values [B, P] in standard deviations from their group's mean; NaN where no other sample has a value.

    Raises UsageError where a prompt has a single sample.
    """
    if (torch.unique(groups, return_counts=True)[1] < 2).any():
        raise UsageError("a mix with normalise: group compares samples of one prompt: give --samples 2 or more")
    scaled = []
    for values in raw.T:
        valid = ~values.isnan()
        scaled.append(group_normalised(values, groups, valid).masked_fill(~comparable(groups, valid), torch.nan))
    return torch.stack(scaled, -1)


async def _ask(source: RewardSource, rollouts: Sequence[Rollout], mine: Tensor) -> Rewards:
    """What the source says of the rollouts where ``mine`` [B] is true; NaN for the others."""
    places = mine.nonzero().squeeze(-1)
    rewards = await source([rollouts[index] for index in places.tolist()]) if len(places) else None
    blank = torch.full((len(rollouts),), torch.nan)
    if rewards is None:
        return Rewards(blank, ~blank.isnan(), {}, {})
    values = blank.index_copy(0, places, rewards.values)
    columns = {name: blank.index_copy(0, places, inner) for name, inner in rewards.columns.items()}
    return Rewards(values, ~values.isnan(), columns, rewards.failures)
