"""What training on a model's own samples is asked to do. Imports nothing heavy, so that the command line can read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlaif.critic.modes.base import Orders
from rlaif.engines.open import Backend
from rlaif.errors import UsageError
from rlaif.train.config import TrainConfig


@dataclass(frozen=True)
class Feedback:
    """How to sample, and who says what is better: a critic by a constitution, or (best-of-n) a reward model.

    rounds: how often to sample, label and train, each time with the model of the round before; None is once, without
        sub-folders for rounds. samples: responses per prompt. prediction: how a reward model's members become one score.
    pairs, orders, prompts, max_failure_rate: as of ``rlaif label``. temperature, top_p, max_tokens, engine: as of
    ``rlaif sample``; the critic runs on the same engine. store: where both keep their answers.
    """

    rounds: int | None = None
    samples: int = 2
    critic: str | None = None
    constitution: Path | None = None
    reward_model: str | None = None
    prediction: Literal["mean", "worst", "uncertainty"] = "mean"
    pairs: str = "all"
    orders: Orders = "both"
    prompts: Path | None = None
    max_failure_rate: float = 0.2
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    engine: Backend = "auto"
    store: Path = Path("runs/verdicts.sqlite")

    def __post_init__(self) -> None:
        if self.reward_model and (self.critic or self.constitution):
            raise UsageError("--reward-model: it ranks in place of --critic and --constitution; give one or the other")
        if not self.reward_model and not (self.critic and self.constitution):
            raise UsageError("who is to judge the samples? give --critic and --constitution (best-of-n: or --reward-model)")
        if self.samples < 2:
            raise UsageError(f"{self.samples} sample per prompt: to say which is better takes two")


@dataclass(frozen=True)
class RoundsConfig:
    """train: the method (``sft``: best-of-n), the prompts as its ``source``, the first model, and how to train each round."""

    train: TrainConfig
    feedback: Feedback

    @property
    def method(self) -> str:
        """What the user calls it."""
        return "best-of-n" if self.train.method == "sft" else self.train.method
