"""Listwise ranking: the critic writes an order of all responses as JSON; what is not that is a failure.

The list is shown in both directions, so that a critic that likes the top of a list shows it as a gap between the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from rlaif.critic.modes.compare import ORDERS, Orders, in_every_order
from rlaif.critic.verdict import Comparison, Failure, FailureReason, Ranking
from rlaif.engines.base import Generation

if TYPE_CHECKING:
    from jsonschema import Draft7Validator

MOST = 26
"""Responses in one list; more are past what a critic keeps apart."""


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
    listed = in_every_order([one if isinstance(one, Failure) else listing(one[0], n) for one in answers], orders)
    if isinstance(listed, Failure):
        return listed
    places = tuple(
        tuple(order.index(n - 1 - index if backwards else index) for index in range(n))
        for order, backwards in zip(listed, ORDERS[orders], strict=True)
    )
    return Ranking(places, tuple(one[0].text for one in answers if not isinstance(one, Failure)))


def listing(reply: Generation, n: int) -> list[int] | Failure:
    """The numbers that a reply lists, best first and from 0; ``truncated`` or ``parse_failed`` where it is not that."""
    if reply.finish == "length":
        return Failure(FailureReason.TRUNCATED, f"the reply was cut: {reply.text[:200]!r}")
    # Chat models like to wrap JSON in a code fence or a sentence; what is outside the braces does not matter.
    found = re.search(r"\{.*\}", reply.text, re.DOTALL)
    try:
        content: Any = json.loads(found[0]) if found else None
    except (ValueError, RecursionError):
        content = None
    problem = next(iter(_validator(n).iter_errors(content)), None)
    if problem is not None:
        said = problem.message[:100] if content is not None else "no JSON"
        return Failure(FailureReason.PARSE_FAILED, f"{said}; the critic said {reply.text[:200]!r}")
    return [int(number) - 1 for number in content["ranking"]]


def compared(whole: Ranking, first: int, second: int) -> Comparison:
    """What a ranking says of one pair, first < second: the share of orders that place ``first`` higher."""
    wins = [float(places[first] < places[second]) for places in whole.places]
    return Comparison(sum(wins) / len(wins), wins[0] - wins[1] if len(wins) == 2 else None, None, whole.raw, whole.cut)


@cache
def _validator(n: int) -> Draft7Validator:
    from jsonschema import Draft7Validator

    return Draft7Validator(schema(n))
