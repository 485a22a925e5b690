"""Which prompts are worth asking: those whose samples scored differently. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import pstdev


def learnability(scores: Sequence[float]) -> float:
    """The standard deviation of a prompt's scores: of a task that is solved with probability p, √(p (1 − p)), which is 0 for
    what always or never succeeds. No fewer than one score.

    Source: Foster and Foerster 2025, arXiv 2502.12272 (sampling for learnability), who rank by its square.
    """
    return pstdev(scores)


def chance(prompt: int, learnable: Mapping[int, float], least: float) -> float:
    """The probability that a prompt is asked when it comes up: its learnability over the highest that is known, at least
    ``least``; 1 for a prompt that is not known yet, and where none is learnable."""
    highest = max(learnable.values(), default=0.0)
    return max(least, learnable[prompt] / highest) if prompt in learnable and highest > 0 else 1.0
