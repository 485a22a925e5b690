"""Proximal policy optimisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlaif.rl.config import RlConfig
from rlaif.rl.methods.baseline import Baseline
from rlaif.settings import redefault


@dataclass(frozen=True, kw_only=True)
class Ppo(Baseline):
    """Schulman et al. 2017, arXiv 1707.06347, as Ziegler et al. 2019 and Huang et al. 2024 (arXiv 2403.17031) apply it."""

    method: ClassVar[str] = "ppo"
    title: ClassVar[str] = "proximal policy optimisation"
    about: ClassVar[str] = "a value net, clipped steps"

    epochs: int = redefault(RlConfig, "epochs", 4)
    lam: float = redefault(Baseline, "lam", 0.95)
    value_clip: float = redefault(Baseline, "value_clip", 0.2)
