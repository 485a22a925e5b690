"""Pointwise score: the expected label of a scale, and what two scores say about which response is better."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rlaif.critic.modes.base import Reading, Subject
from rlaif.critic.modes.compare import sure
from rlaif.critic.store import Answer
from rlaif.critic.templates import Form
from rlaif.critic.verdict import MIN_MASS, Comparison, Failure, Score
from rlaif.engines.base import Choice, Sampling


class ScoreMode:
    """Asks for a label of a scale for each response; of two responses, the one with the greater label is better."""

    form = Form("score", "score", ("response",), labels="scale")
    reasons: Form | None = None
    settings = frozenset({"min_mass"})
    scores = True
    action = "scored single responses"

    def unfit(self, n: int) -> str | None:
        return None

    def subjects(self, n: int, pairs: Sequence[tuple[int, int]]) -> Sequence[Subject]:
        return [(index,) for index in range(n)]

    def drawing(self, n: int) -> Sampling | None:
        return None

    def read(
        self, answers: Sequence[Answer], rationales: Sequence[str | None], shown: Sequence[int], how: Reading
    ) -> Score | Failure:
        (answer,) = (answer for answer in answers if not isinstance(answer, list))
        return score(answer, how.min_mass)

    def on_pair(self, verdicts: Mapping[Subject, Score | Failure], first: int, second: int) -> Comparison | Failure | None:
        a, b = verdicts.get((first,)), verdicts.get((second,))
        if isinstance(a, Score) and isinstance(b, Score):
            p = p_better(a.distribution, b.distribution)
            return Comparison(p, None, min(a.mass, b.mass), a.raw + b.raw, max(a.cut, b.cut))
        return a if isinstance(a, Failure) else b if isinstance(b, Failure) else None

    def on_response(self, verdicts: Mapping[Subject, Score | Failure], index: int) -> Score | Failure | None:
        return verdicts.get((index,))


SCORE = ScoreMode()


def score(answer: Choice | Failure, min_mass: float = MIN_MASS) -> Score | Failure:
    """Σ i·P(i) over the scale's labels i = 1…n, mapped to [-1, 1] by (s − (n+1)/2) / ((n−1)/2) (Lee et al. 2023, d-RLAIF)."""
    checked = sure(answer, min_mass)
    if isinstance(checked, Failure):
        return checked
    highest = max(checked.logprobs)
    weights = [math.exp(value - highest) for value in checked.logprobs]
    distribution = tuple(weight / sum(weights) for weight in weights)
    n = len(distribution)
    expected = sum(label * p for label, p in enumerate(distribution, 1))
    return Score((expected - (n + 1) / 2) / ((n - 1) / 2), distribution, checked.mass, (checked.raw,), checked.cut_tokens)


def p_better(first: Sequence[float], second: Sequence[float]) -> float:
    """P(first's label > second's) + ½ P(equal), for independent draws from the two label distributions ([n] each)."""
    below = [sum(second[:label]) for label in range(len(second))]
    return sum(p * (lower + q / 2) for p, lower, q in zip(first, below, second, strict=True))
