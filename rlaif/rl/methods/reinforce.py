"""REINFORCE with a learned baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rlaif.rl.methods.baseline import Baseline


@dataclass(frozen=True, kw_only=True)
class Reinforce(Baseline):
    """REINFORCE with a learned baseline, as direct RLAIF used it (Lee et al. 2023, arXiv 2309.00267): λ = 1, one epoch."""

    method: ClassVar[str] = "reinforce"
    title: ClassVar[str] = "REINFORCE with a learned baseline"
    about: ClassVar[str] = "as direct RLAIF"
