"""Pairwise comparison: both orders asked, the soft label from the labels' log-probabilities.

For each order, p(first label) = softmax(log p(A), log p(B)); the second order's is mapped back to "first response is
better"; the verdict is their mean (Bai et al. 2022 §4.1 for the soft label, Lee et al. 2023 §3.1 for the orders).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from rlaif.critic.modes.base import ORDERS, Orders, Reading, Subject, in_every_order
from rlaif.critic.store import Answer
from rlaif.critic.templates import Form
from rlaif.critic.verdict import MIN_MASS, TIE, Comparison, Failure, FailureReason, Rationale, Score
from rlaif.engines.base import Choice, Sampling

FORM = Form("compare", "compare", ("response_a", "response_b"), labels="two")
REASONS_FORM = Form("reasons", "compare", ("response_a", "response_b"), labels="two", then=frozenset({"rationale"}))


class Compare:
    """Asks which of two responses is better."""

    form = FORM
    reasons: Form | None = REASONS_FORM
    settings = frozenset({"orders", "min_mass", "shots", "reasons", "rounds"})
    scores = False
    action = "compared pairs of responses"

    def unfit(self, n: int) -> str | None:
        return "the row has one response; to compare takes two (or use --mode score)" if n == 1 else None

    def subjects(self, n: int, pairs: Sequence[tuple[int, int]]) -> Sequence[Subject]:
        return pairs

    def drawing(self, n: int) -> Sampling | None:
        return None

    def read(
        self, answers: Sequence[Answer], rationales: Sequence[str | None], shown: Sequence[int], how: Reading
    ) -> Comparison | Failure:
        if not answers:
            return TIE
        choices = [answer for answer in answers if not isinstance(answer, list)]
        once = ORDERS[how.orders]
        verdict = averaged(
            [
                comparison(choices[start : start + len(once)], how.orders, how.min_mass, how.clamp)
                for start in range(0, len(choices), len(once))
            ]
        )
        if isinstance(verdict, Failure):
            return verdict
        if rationales:
            written = zip(once * (len(answers) // len(once)), rationales, strict=True)
            verdict = replace(verdict, rationales=tuple(Rationale(order, text) for order, text in written if text is not None))
        return verdict if shown[0] == 0 else verdict.swap()  # the pair's second response is listed first

    def on_pair(self, verdicts: Mapping[Subject, Comparison | Failure], first: int, second: int) -> Comparison | Failure | None:
        return verdicts.get((first, second))

    def on_response(self, verdicts: Mapping[Subject, Comparison | Failure], index: int) -> Score | Failure | None:
        return None


COMPARE = Compare()


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
    low, high = clamp
    seen = []
    for choice, swapped in zip(choices, ORDERS[orders], strict=True):
        p = first_label(choice)
        seen.append(min(high, max(low, 1.0 - p if swapped else p)))
    return Comparison(
        p=sum(seen) / len(seen),
        gap=seen[0] - seen[1] if orders == "both" else None,
        mass=min([choice.mass for choice in choices]),
        raw=tuple([choice.raw for choice in choices]),
        cut=max([choice.cut_tokens for choice in choices]),
        first=int(ORDERS[orders][0]) if orders != "both" else None,
    )


def averaged(comparisons: Sequence[Comparison | Failure]) -> Comparison | Failure:
    """One verdict from several on the same pair (votes, or critics of a jury): the mean of those that are there.

    The first failure where none is.
    """
    if len(comparisons) == 1:
        return comparisons[0]
    known = [verdict for verdict in comparisons if isinstance(verdict, Comparison)]
    if not known:
        return next(verdict for verdict in comparisons if isinstance(verdict, Failure))
    gaps = [verdict.gap for verdict in known if verdict.gap is not None]
    masses = [verdict.mass for verdict in known if verdict.mass is not None]
    return Comparison(
        p=sum(verdict.p for verdict in known) / len(known),
        gap=sum(gaps) / len(gaps) if gaps else None,
        mass=min(masses, default=None),
        raw=tuple(text for verdict in known for text in verdict.raw),
        cut=max(verdict.cut for verdict in known),
        rationales=tuple(text for verdict in known for text in verdict.rationales),
        first=known[0].first,
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
