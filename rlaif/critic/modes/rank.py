"""Listwise ranking: the critic writes an order of all responses as JSON; what is not that is a failure.

The list is shown in both directions, so that a critic that likes the top of a list shows it as a gap between the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from rlaif.critic.modes.base import ORDERS, Orders, Reading, Subject, in_every_order
from rlaif.critic.store import Answer
from rlaif.critic.templates import Form
from rlaif.critic.verdict import TIE, Comparison, Failure, FailureReason, Ranking, Score
from rlaif.engines.base import Choice, Generation, Sampling

if TYPE_CHECKING:
    from jsonschema import Draft7Validator

MOST = 26
"""Responses in one list; more are past what a critic keeps apart."""


class Rank:
    """Asks for an order of all responses of a row."""

    form = Form("rank", "rank", ("responses",), numbered=True)
    reasons: Form | None = None
    settings = frozenset({"orders"})
    scores = False
    action = "ranked all responses of a row"

    def unfit(self, n: int) -> str | None:
        if n == 1:
            return "the row has one response; to rank takes two (or use --mode score)"
        return f"the row has {n} responses; a list holds at most {MOST} (or use --pairs swiss)" if n > MOST else None

    def subjects(self, n: int, pairs: Sequence[tuple[int, int]]) -> Sequence[Subject]:
        return [tuple(range(n))]

    def drawing(self, n: int) -> Sampling | None:
        return Sampling(max_tokens=reply_tokens(n), temperature=0.0, pattern=reply_pattern(n))

    def read(
        self, answers: Sequence[Answer], rationales: Sequence[str | None], shown: Sequence[int], how: Reading
    ) -> Ranking | Failure:
        if not answers:
            return Ranking(((0,) * len(shown),), ())
        replies = [answer for answer in answers if not isinstance(answer, Choice)]
        verdict = ranking(replies, max(shown) + 1, how.orders)
        if isinstance(verdict, Failure):
            return verdict
        places = tuple(tuple(order[position] for position in shown) for order in verdict.places)
        listed = tuple(-position if how.orders == "ba" else position for position in shown) if how.orders != "both" else ()
        return Ranking(places, verdict.raw, verdict.cut, listed)

    def on_pair(self, verdicts: Mapping[Subject, Ranking | Failure], first: int, second: int) -> Comparison | Failure | None:
        for subject, verdict in verdicts.items():
            if first in subject and second in subject:
                if isinstance(verdict, Failure):
                    return verdict
                return compared(verdict, subject.index(first), subject.index(second))
        return None

    def on_response(self, verdicts: Mapping[Subject, Ranking | Failure], index: int) -> Score | Failure | None:
        return None


RANK = Rank()


@cache
def schema(n: int) -> dict[str, Any]:
    """JSON Schema of the reply for ``n`` responses: each of 1 to n once."""
    places = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": n}, "uniqueItems": True}
    return {
        "type": "object",
        "properties": {"ranking": {**places, "minItems": n, "maxItems": n}},
        "required": ["ranking"],
        "additionalProperties": False,
    }


def reply_pattern(n: int) -> str:
    """What engines with structured outputs are held to: the schema's JSON, but for that numbers may repeat.

    A regular expression and not the schema itself: the engines' grammars do not know ``uniqueItems``, and between the parts
    of JSON they allow white space without end, in which a weak critic loses itself.
    """
    number = f"({'|'.join(map(str, range(1, n + 1)))})"
    return rf'\{{"ranking": \[{", ".join([number] * n)}\]\}}'


def reply_tokens(n: int) -> int:
    """Room for the reply in tokens, generous for any tokenizer."""
    return 16 + 8 * n


def ranking(answers: Sequence[list[Generation] | Failure], n: int, orders: Orders = "both") -> Ranking | Failure:
    """The verdict from the critic's replies, one per order; a reply that failed fails the ranking."""
    listed = in_every_order([answer if isinstance(answer, Failure) else listing(answer[0], n) for answer in answers], orders)
    if isinstance(listed, Failure):
        return listed
    places = tuple(
        tuple(order.index(n - 1 - index if backwards else index) for index in range(n))
        for order, backwards in zip(listed, ORDERS[orders], strict=True)
    )
    return Ranking(places, tuple(answer[0].text for answer in answers if not isinstance(answer, Failure)))


def listing(reply: Generation, n: int) -> list[int] | Failure:
    """The numbers that a reply lists, best first and from 0; ``truncated`` or ``parse_failed`` where it is not that."""
    if reply.finish == "length":
        return Failure(FailureReason.TRUNCATED, f"the reply was cut: {reply.text[:200]!r}")
    # Chat models like to wrap JSON in a code fence or a sentence; what is outside the braces does not matter.
    braces = re.search(r"\{.*\}", reply.text, re.DOTALL)
    try:
        content: Any = json.loads(braces[0]) if braces else None
    except (ValueError, RecursionError):
        content = None
    problem = next(iter(_validator(n).iter_errors(content)), None)
    if problem is not None:
        what = problem.message[:100] if content is not None else "no JSON"
        return Failure(FailureReason.PARSE_FAILED, f"{what}; the critic said {reply.text[:200]!r}")
    return [int(number) - 1 for number in content["ranking"]]


def compared(whole: Ranking, first: int, second: int) -> Comparison:
    """What a ranking says of one pair, first < second: the share of orders that place ``first`` higher.

    A tie where they share a place, as responses do that are the same.
    """
    if all(places[first] == places[second] for places in whole.places):
        return TIE
    wins = [float(places[first] < places[second]) for places in whole.places]
    gap = wins[0] - wins[1] if len(wins) == 2 else None
    ahead = int(whole.listed[first] > whole.listed[second]) if whole.listed else None
    return Comparison(sum(wins) / len(wins), gap, None, whole.raw, whole.cut, first=ahead)


@cache
def _validator(n: int) -> Draft7Validator:
    from jsonschema import Draft7Validator

    return Draft7Validator(schema(n))
