"""Biases of a critic (position, length, form), and the correlation of its principles."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlaif.data.rows import Turn
from rlaif.evaluate.agreement import Interval, wilson

_LIST_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)


class Position(NamedTuple):
    """Sums over verdicts.

    Of those that were asked in both orders: asked: their number. gap, size: sums of the gap and of its absolute value. flips:
    verdicts whose winner depends on the order. primacy: flips in which the response shown first wins both times (in the others
    the one shown last does). Of those asked in one order: once: their number. ahead: in which the response shown first wins.
    """

    asked: int = 0
    gap: float = 0.0
    size: float = 0.0
    flips: int = 0
    primacy: int = 0
    once: int = 0
    ahead: int = 0

    def plus(self, other: Position) -> Position:
        """The sums over both, which must be of disjoint data."""
        return Position(
            self.asked + other.asked,
            self.gap + other.gap,
            self.size + other.size,
            self.flips + other.flips,
            self.primacy + other.primacy,
            self.once + other.once,
            self.ahead + other.ahead,
        )

    @property
    def mean_gap(self) -> float:
        """Mean of P(first shown wins) − P(last shown wins), in [−1, 1]: 0 for a critic that ignores position."""
        return self.gap / self.asked if self.asked else float("nan")

    @property
    def flip_rate(self) -> Interval:
        return wilson(self.flips, self.asked)

    @property
    def first_wins(self) -> Interval:
        """Of the times that a pair was shown, how often the response shown first won: ½ for a critic that ignores position."""
        return wilson(self.ahead + self.asked - self.flips + 2 * self.primacy, self.once + 2 * self.asked)

    @property
    def primacy_share(self) -> Interval:
        """Of the flips, those towards the response shown first; the rest are recency."""
        return wilson(self.primacy, self.flips)


def position(p: NDArray[np.float64], gap: NDArray[np.float64]) -> Position:
    """Position bias of verdicts p [N] (mean over both orders) with gap [N] (their difference; NaN: one order, or no verdict).

    With p_ab and p_ba the probability that one and the same response is better when shown first and when shown last,
    p = (p_ab + p_ba) / 2 and gap = p_ab − p_ba; the winner depends on the order where (p_ab − ½)(p_ba − ½) < 0.
    Source: Zheng et al. 2023 (MT-Bench), position bias and its consistency; Lee et al. 2023 (RLAIF) §2.
    """
    both = ~np.isnan(p) & ~np.isnan(gap)
    p, gap = p[both], gap[both]
    flipped = (p + gap / 2 - 0.5) * (p - gap / 2 - 0.5) < 0
    return Position(
        asked=int(both.sum()),
        gap=float(gap.sum()),
        size=float(np.abs(gap).sum()),
        flips=int(flipped.sum()),
        primacy=int((flipped & (gap > 0)).sum()),
    )


def position_once(p: NDArray[np.float64], chosen_first: NDArray[np.bool_]) -> Position:
    """Of verdicts asked in one order, p [N] the probability that the chosen response is better (NaN: no verdict; undecided ones
    are left out), and chosen_first [N] whether it was the one shown first."""
    decided = ~np.isnan(p) & (p != 0.5)
    return Position(once=int(decided.sum()), ahead=int(((p[decided] > 0.5) == chosen_first[decided]).sum()))


def longer(chosen: Sequence[Turn], rejected: Sequence[Turn]) -> bool | None:
    """Whether the chosen response is the longer one, in characters; None where they are equally long."""
    lengths = [sum(len(turn["content"]) for turn in turns) for turns in (chosen, rejected)]
    return None if lengths[0] == lengths[1] else lengths[0] > lengths[1]


def listed(chosen: Sequence[Turn], rejected: Sequence[Turn]) -> bool | None:
    """Whether the chosen response holds a list (two items or more); None where both or neither do."""
    lists = [any(len(_LIST_ITEM.findall(turn["content"])) > 1 for turn in turns) for turns in (chosen, rejected)]
    return None if lists[0] == lists[1] else lists[0]


def cycles(p: Mapping[tuple[int, int], float]) -> tuple[int, int]:
    """(cyclic triples, all triples) of the responses of which all three pairs were compared.

    p: by pair (i, j), the probability that i is better. In a cyclic triple each response beats one and loses to one, so that
    no order of them agrees with the critic. Triples with an undecided pair are not counted.
    """
    better = {pair: value > 0.5 for pair, value in p.items() if value != 0.5}
    better |= {(j, i): not first for (i, j), first in better.items()}
    among = sorted({index for pair in better for index in pair})
    triples = [
        (a, b, c) for a, b, c in itertools.combinations(among, 3) if (a, b) in better and (b, c) in better and (a, c) in better
    ]
    return sum(better[a, b] == better[b, c] != better[a, c] for a, b, c in triples), len(triples)


def co_moments(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, K, K] sums that ``redundancy`` takes, of p [N, K] (NaN: no verdict); sums of disjoint data add up."""
    known = (~np.isnan(p)).astype(np.float64)
    lean = np.where(known > 0, p - 0.5, 0.0)
    return np.stack([lean.T @ lean, (lean**2).T @ known, known.T @ known])


def redundancy(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """[K, K] correlation of the principles' verdicts around ½: Σ dᵢdⱼ / √(Σ dᵢ² Σ dⱼ²), with d = p − ½.

    Over the pairs on which both have a verdict; NaN where there are fewer than two. The mean is taken as ½, because the
    order of a pair is arbitrary: swapping the two responses of any pair does not change the result. Near 1: two principles ask
    the same thing.
    """
    products, squares, n = sums
    scale = np.sqrt(squares * squares.T)
    result: NDArray[np.float64] = np.full_like(products, np.nan)
    np.divide(products, scale, out=result, where=(scale > 0) & (n >= 2))
    return result
