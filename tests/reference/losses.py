"""Training losses of one row, in plain Python: probabilities and odds as the papers define them, nothing rearranged."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence


def sigma(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def mixed(loss: Callable[[float, float], float], chosen: float, rejected: float, p: float) -> float:
    """The label is drawn: with probability p the first response is the winner, else the second."""
    return p * loss(chosen, rejected) + (1 - p) * loss(rejected, chosen)


def bradley_terry(rc: float, rr: float, p: float, margin: float = 0.0, centre: float = 0.0) -> float:
    return mixed(lambda win, lose: -math.log(sigma(win - lose - margin)), rc, rr, p) + centre * (rc + rr) ** 2


def plackett_luce(scores: Sequence[float]) -> float:
    """Every order's probability is the product of drawing its items one after the other without replacement."""

    def probability(order: Sequence[float]) -> float:
        left, result = list(order), 1.0
        while left:
            result *= math.exp(left[0]) / sum(map(math.exp, left))
            left.pop(0)
        return result

    total = sum(probability(order) for order in itertools.permutations(scores))
    assert math.isclose(total, 1.0)
    return -math.log(probability(scores))


def dpo(c: float, r: float, rc: float, rr: float, p: float, beta: float) -> float:
    """Bradley–Terry on the implicit rewards β log(π/π_ref)."""
    return bradley_terry(beta * (c - rc), beta * (r - rr), p)


def geometric_dpo(c: float, r: float, rc: float, rr: float, p: float, beta: float) -> float:
    """DPO between the two geometric averages π_c^p π_r^(1−p) and π_c^(1−p) π_r^p."""

    def average(first: float, second: float) -> float:
        return p * first + (1 - p) * second

    return dpo(average(c, r), average(r, c), average(rc, rr), average(rr, rc), 1.0, beta)


def robust_dpo(c: float, r: float, rc: float, rr: float, p: float, beta: float, flip_rate: float) -> float:
    def clean(win: float, lose: float, ref_win: float, ref_lose: float) -> float:
        right, wrong = dpo(win, lose, ref_win, ref_lose, 1.0, beta), dpo(lose, win, ref_lose, ref_win, 1.0, beta)
        return ((1 - flip_rate) * right - flip_rate * wrong) / (1 - 2 * flip_rate)

    return p * clean(c, r, rc, rr) + (1 - p) * clean(r, c, rr, rc)


def ipo(c: float, r: float, rc: float, rr: float, p: float, tau: float, lengths: tuple[int, int] = (1, 1)) -> float:
    """The sampled loss of the paper, less the variance of the label, which no policy can remove."""
    better, worse = (c - rc) / lengths[0], (r - rr) / lengths[1]
    target = 1 / (2 * tau)
    sampled = mixed(lambda win, lose: (win - lose - target) ** 2, better, worse, p)
    return sampled - (p * target**2 + (1 - p) * target**2 - (p * target - (1 - p) * target) ** 2)


def kto(
    policies: Sequence[float],
    references: Sequence[float],
    ps: Sequence[float],
    mismatched: Sequence[tuple[float, float]],
    beta: float,
    desirable: float,
    undesirable: float,
) -> list[float]:
    z0 = max(0.0, sum(policy - reference for policy, reference in mismatched) / len(mismatched))

    def loss(policy: float, reference: float, p: float) -> float:
        reward = policy - reference
        good, bad = desirable * sigma(beta * (reward - z0)), undesirable * sigma(beta * (z0 - reward))
        return p * (desirable - good) + (1 - p) * (undesirable - bad)

    return [loss(*row) for row in zip(policies, references, ps, strict=True)]


def odds(logprob: float) -> float:
    return math.exp(logprob) / (1 - math.exp(logprob))


def orpo(c: float, r: float, p: float, weight: float) -> float:
    return mixed(lambda win, lose: -win - weight * math.log(sigma(math.log(odds(win) / odds(lose)))), c, r, p)


def cpo(c: float, r: float, nll_c: float, nll_r: float, p: float, beta: float, alpha: float) -> float:
    win, lose = -math.log(sigma(beta * c - beta * r)), -math.log(sigma(beta * r - beta * c))
    return p * (win + alpha * nll_c) + (1 - p) * (lose + alpha * nll_r)


def simpo(c: float, r: float, p: float, beta: float, gamma: float) -> float:
    return mixed(lambda win, lose: -math.log(sigma(beta * win - beta * lose - gamma)), c, r, p)


def both_orders(chosen_first: list[float], chosen_second: list[float], p: float, consistency: float) -> float:
    """Of probabilities (A, B) in either order; B is ``chosen`` in the second."""
    (a, b), (other, own) = chosen_first, chosen_second
    entropies = (
        -p * math.log(a) - (1 - p) * math.log(b),
        -p * math.log(own) - (1 - p) * math.log(other),
    )
    return sum(entropies) / 2 + consistency * (a / (a + b) - own / (own + other)) ** 2


def scored_pair(chosen: list[float], rejected: list[float], p: float) -> float:
    q = 0.0
    for place, one in enumerate(chosen):
        for other_place, other in enumerate(rejected):
            share = 1.0 if place > other_place else 0.5 if place == other_place else 0.0
            q += share * one / sum(chosen) * other / sum(rejected)
    return -p * math.log(q) - (1 - p) * math.log(1 - q) - (math.log(sum(chosen)) + math.log(sum(rejected))) / 2
