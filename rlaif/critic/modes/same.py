"""Whether two responses give the same answer: both orders asked, the soft label from the labels' log-probabilities.

It is asked by ``rlaif evaluate consistency`` alone: who labels rows wants to know which response is better.
"""

from __future__ import annotations

from collections.abc import Sequence

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.modes.base import ORDERS, Reading, in_every_order
from rlaif.critic.modes.compare import Compare, first_label, sure
from rlaif.critic.store import Answer
from rlaif.critic.templates import Form
from rlaif.critic.verdict import Comparison, Failure

NAME = "rlaif.critic.modes.same:SAME"
QUESTION = Constitution(
    "same-answer",
    1,
    (Principle("same", "Differences of wording, length and tone do not matter; what is said, advised or refused does."),),
)
"""What counts as the same."""


class Same(Compare):
    """Asks whether two responses give the same answer; p is the probability that they do."""

    form = Form("same", NAME, ("response_a", "response_b"), labels="two")
    reasons: Form | None = None
    settings = frozenset({"orders", "min_mass"})
    action = "told which responses give the same answer"

    def read(
        self, answers: Sequence[Answer], rationales: Sequence[str | None], shown: Sequence[int], how: Reading
    ) -> Comparison | Failure:
        if not answers:
            return Comparison(1.0, None, None, ())
        choices = in_every_order([sure(each, how.min_mass) for each in answers if not isinstance(each, list)], how.orders)
        if isinstance(choices, Failure):
            return choices
        seen = [first_label(choice) for choice in choices]
        return Comparison(
            p=sum(seen) / len(seen),
            gap=seen[0] - seen[1] if len(ORDERS[how.orders]) == 2 else None,
            mass=min(choice.mass for choice in choices),
            raw=tuple(choice.raw for choice in choices),
            cut=max(choice.cut_tokens for choice in choices),
        )


SAME = Same()
