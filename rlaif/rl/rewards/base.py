"""What a source of rewards is opened with, and how it is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rlaif.engines.base import Engine
from rlaif.engines.config import EngineConfig
from rlaif.errors import UsageError
from rlaif.registry import Registry
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rollout import RewardSource, Sleeper

GPU_MEMORY = 0.3
"""Share of the GPU for each critic that runs beside the policy, unless the user says otherwise."""


@dataclass
class Context:
    """What sources may need besides their configuration, and may share.

    reference, max_tokens: the policy that training starts from and its longest response. out: the run's folder. exits: what is
    closed with the run. sleep: open engines so that they can give a GPU's memory back for a while.
    """

    reference: str | None
    max_tokens: int
    out: Path | None
    sleep: bool = False
    exits: AsyncExitStack = field(default_factory=AsyncExitStack)
    _engines: dict[EngineConfig, Engine] = field(default_factory=dict)

    def engine(self, model: str, config: EngineConfig) -> Engine:
        """The engine of a model, one for all sources that ask for the same."""
        config = replace(config, model=model, gpu_memory=config.gpu_memory or GPU_MEMORY, can_sleep=self.sleep)
        if config not in self._engines:
            self._engines[config] = config.open()
            self.exits.push_async_callback(self._engines[config].close)
        return self._engines[config]

    def sleepers(self) -> list[Sleeper]:
        """The engines that can sleep."""
        return [engine for engine in self._engines.values() if isinstance(engine, Sleeper)] if self.sleep else []


Opened = tuple[RewardSource, Mapping[str, Any]]
"""A source, and what made its rewards, for ``run.json``: a run does not continue with others."""
Open = Callable[[RewardConfig, Context], Opened]

SOURCES = Registry(
    "reward source",
    "--reward",
    "rlaif.rewards",
    {
        "critic": "rlaif.rl.rewards.critic:open_critic",
        "model": "rlaif.rl.rewards.model:open_model",
        "verifier": "rlaif.rl.rewards.verifier:open_verifier",
        "verdict": "rlaif.rl.rewards.verdict:open_verdict",
        "gold": "rlaif.rl.rewards.gold:open_gold",
        "none": "rlaif.rl.rewards.none:open_none",
    },
)
"""Name to a function ``Open``."""


def given(value: Any, reward: str, flag: str) -> Any:
    """``value``. Raises UsageError where there is none."""
    if not value:
        raise UsageError(f"--reward {reward} needs {flag}")
    return value
