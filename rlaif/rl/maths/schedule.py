"""What changes over a run by plan: learning rates, temperature, entropy bonus. Pure functions of the step."""

from __future__ import annotations

import math

from rlaif.train.config import Schedule


def factor(schedule: Schedule, warmup: float, step: int, steps: int) -> float:
    """The share of the highest learning rate at ``step`` (from 0) of ``steps``.

    It rises over ``warmup`` (share of the steps) to 1, then falls to 0 just after the last step, or stays. linear without
    warm-up is Ziegler et al. 2019's (arXiv 1909.08593, code).
    """
    rise = math.ceil(warmup * steps)
    if step < rise:
        return (step + 1) / rise
    if schedule == "constant":
        return 1.0
    done = (step - rise) / (steps - rise)
    return 1.0 - done if schedule == "linear" else (1.0 + math.cos(math.pi * done)) / 2


def line(start: float, end: float | None, step: int, steps: int) -> float:
    """From ``start`` at the first step to ``end`` at the last; without an end, ``start`` throughout."""
    return start if end is None else start + (end - start) * min(1.0, step / max(1, steps - 1))
