"""Pairwise comparison: both orders asked, the soft label from the labels' log-probabilities.

For each order, p(first label) = softmax(log p(A), log p(B)); the second order's is mapped back to "first response is
better"; the verdict is their mean (Bai et al. 2022 §4.1 for the soft label, Lee et al. 2023 §3.1 for the orders).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeVar

from rlaif.critic.verdict import MIN_MASS, Comparison, Failure, FailureReason
from rlaif.engines.base import Choice

Orders = Literal["both", "ab", "ba"]
ORDERS: dict[Orders, tuple[bool, ...]] = {"both": (False, True), "ab": (False,), "ba": (True,)}
"""For each call that a comparison needs: are the responses swapped?"""
Answered = TypeVar("Answered")


def comparison(
    answers: Sequence[Choice | Failure],
    orders: Orders = "both",
    min_mass: float = MIN_MASS,
    clamp: tuple[float, float] = (0.0, 1.0),
) -> Comparison | Failure:
    """The verdict from the critic's answers, one per order.

    An order that failed fails the comparison: half of it would be the position-biased verdict that both orders are for.
    clamp: the least and the greatest p of an order, which sum to 1; reasoned labels are too sure of themselves, and Bai et
    al. 2022 §4.3 keep them within .4 and .6.
    """
    choices = in_every_order([sure(answer, min_mass) for answer in answers], orders)
    if isinstance(choices, Failure):
        return choices
    seen = [
        min(clamp[1], max(clamp[0], 1.0 - first_label(choice) if swapped else first_label(choice)))
        for choice, swapped in zip(choices, ORDERS[orders], strict=True)
    ]
    return Comparison(
        p=sum(seen) / len(seen),
        gap=seen[0] - seen[1] if orders == "both" else None,
        mass=min(choice.mass for choice in choices),
        raw=tuple(choice.raw for choice in choices),
        cut=max(choice.cut_tokens for choice in choices),
    )


def in_every_order(answers: Sequence[Answered | Failure], orders: Orders) -> list[Answered] | Failure:
    """The answers, one per order; where some failed, the first one's reason with what happened in each of these orders."""
    failed = [
        ("ba" if swapped else "ab", answer)
        for answer, swapped in zip(answers, ORDERS[orders], strict=True)
        if isinstance(answer, Failure)
    ]
    if failed:
        return Failure(failed[0][1].reason, "; ".join(f"{order}: {failure.detail}" for order, failure in failed))
    return [answer for answer in answers if not isinstance(answer, Failure)]


def averaged(comparisons: Sequence[Comparison | Failure]) -> Comparison | Failure:
    """One verdict from several on the same pair (votes, or critics of a jury): the mean of those that are there.

    The first failure where none is.
    """
    if len(comparisons) == 1:
        return comparisons[0]
    there = [one for one in comparisons if isinstance(one, Comparison)]
    if not there:
        return next(one for one in comparisons if isinstance(one, Failure))
    gaps = [one.gap for one in there if one.gap is not None]
    masses = [one.mass for one in there if one.mass is not None]
    return Comparison(
        p=sum(one.p for one in there) / len(there),
        gap=sum(gaps) / len(gaps) if gaps else None,
        mass=min(masses, default=None),
        raw=tuple(text for one in there for text in one.raw),
        cut=max(one.cut for one in there),
        rationales=tuple(text for one in there for text in one.rationales),
    )


def first_label(choice: Choice) -> float:
    """softmax(log p(A), log p(B))[A]. The two log-probabilities are not both -inf."""
    a, b = choice.logprobs
    if a >= b:
        return 1.0 / (1.0 + math.exp(b - a))
    ratio = math.exp(a - b)
    return ratio / (1.0 + ratio)


def sure(answer: Choice | Failure, min_mass: float) -> Choice | Failure:
    """The answer, or ``label_mass_low`` when the labels hold less than ``min_mass`` of the probability."""
    if isinstance(answer, Failure) or answer.mass >= max(min_mass, 1e-9):
        return answer
    return Failure(FailureReason.LABEL_MASS_LOW, f"labels hold {answer.mass:.3g}; the critic would say {answer.raw!r}")
