"""From the user's words to a source of rewards that is ready to be asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaif.errors import UsageError
from rlaif.rl.rewards.base import SOURCES, Context
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.mix import Gate, MixReward, Part
from rlaif.rl.rewards.mix_file import load_mix
from rlaif.rl.rollout import RewardSource, Sleeper


@dataclass
class OpenReward:
    """source: whom to ask. facts: what made the rewards, for ``run.json``. task_weights: how often each task is drawn, where
    a mix says so. sleepers: engines that can give a GPU's memory back for a while. ``close`` gives back engines and stores."""

    source: RewardSource
    facts: dict[str, Any]
    task_weights: Mapping[str, float]
    _exits: AsyncExitStack
    sleepers: Sequence[Sleeper] = ()

    @property
    def relative(self) -> bool:
        """Whether all that a reward says is how a response does beside the prompt's other samples."""
        return bool(self.facts.get("normalise")) or self.facts.get("feedback") == "group"

    async def close(self) -> None:
        await self._exits.aclose()


def open_reward(
    config: RewardConfig,
    *,
    reference: str | None = None,
    max_tokens: int = 256,
    out: Path | None = None,
    sleep: bool = False,
) -> OpenReward:
    """The source that ``config`` names.

    reference, max_tokens: the policy that training starts from and its longest response; out: the run's folder, which keeps
        its answers. Only a critic that compares with the reference policy needs the three. sleep: see ``Context``.

    Raises UsageError when something is missing, cannot be opened, or is of the wrong kind.
    """
    context = Context(reference, max_tokens, out, sleep)
    if not config.reward.endswith((".yaml", ".yml")):
        source, facts = _open(config, context)
        return OpenReward(source, facts, {}, context.exits, context.sleepers())
    recipe = load_mix(Path(config.reward))
    parts, described = [], []
    for item in recipe.ingredients:
        if item.config.reward == "verdict":
            raise UsageError(f"{config.reward}: {item.id}: verdict rewards the judge's own questions, and is no part of a mix")
        source, facts = _open(item.config, context)
        gate = Gate(*item.gate) if item.gate else None
        parts.append(Part(item.id, source, item.weight, item.optional, gate))
        described.append({"id": item.id, "weight": item.weight, "optional": item.optional, "gate": item.gate, **facts})
    tasks = {task: sorted(names) for task, names in recipe.tasks.items()}
    about = {"reward": "mix", "normalise": recipe.normalise, "sources": described, "tasks": tasks, "weights": recipe.weights}
    source = MixReward(parts, recipe.normalise, recipe.tasks)
    return OpenReward(source, about, recipe.weights, context.exits, context.sleepers())


def _open(config: RewardConfig, context: Context) -> tuple[RewardSource, dict[str, Any]]:
    source, facts = SOURCES[config.reward](config, context)
    return source, {"reward": config.reward, **facts}
