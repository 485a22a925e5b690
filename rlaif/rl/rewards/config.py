"""Which reward the user asked for. Imports nothing heavy, so that the command line can read it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlaif.constitution.types import Aggregate
from rlaif.critic.modes.base import Orders
from rlaif.engines.open import Backend, Dtype
from rlaif.train.config import Prediction

JudgeBy = Literal["score", "group", "reference"]


@dataclass(frozen=True)
class RewardConfig:
    """The fields are flags of ``rlaif train`` and keys of a source in a mix file.

    reward: ``critic``, ``model``, ``verifier``, ``gold`` (the lab's), or the path of a mix file (``.yaml``).
    judge: the critic scores each response (``score``), compares it with other samples of its prompt (``group``) or with the
        reference policy's answer to it (``reference``).
    opponents: with ``group``, how many other samples each is compared with at least; None for all.
    reward_model: one or more folders, comma-separated. prediction: how members, of one folder or several, become one score;
        penalty: λ of ``uncertainty``, .1 for PPO in Coste et al. 2023 (arXiv 2310.02743).
    verifier: ``FILE.py:function`` or ``package.module:function``. options: its keyword arguments.
    store: a verdict store that keeps the critic's answers; None for none, as samples of a run rarely repeat.
    """

    reward: str = "critic"
    critic: str | None = None
    constitution: Path | None = None
    judge: JudgeBy = "score"
    opponents: int | None = None
    aggregate: Aggregate | None = None
    orders: Orders = "both"
    prompts: Path | None = None
    min_mass: float = 0.1
    engine: Backend = "auto"
    dtype: Dtype = "auto"
    context: int | None = None
    tokenizer: str | None = None
    trust_remote_code: bool = False
    gpu_memory: float = 0.3
    store: Path | None = None
    reward_model: str | None = None
    prediction: Prediction = "mean"
    penalty: float = 0.1
    verifier: str | None = None
    options: tuple[tuple[str, str | float | bool], ...] = ()
    seed: int = 0
