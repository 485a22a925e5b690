"""What a command must find, as ``--require`` says it: a figure, a relation, a number."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rlaif.errors import UsageError
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.table import interval, percent

Range = tuple[float, float]
"""The least and the greatest value that a figure can have."""
SHARE: Range = (0.0, 1.0)
CORRELATION: Range = (-1.0, 1.0)
NUMBER: Range = (-math.inf, math.inf)
HELP = "Exit with 1 unless this holds, such as '{}' (of an interval's end: NAME.low, NAME.high; repeat for more)."

_OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_FORM = re.compile(
    r"\s*(?P<name>.+?)(?P<end>\.low|\.high)?\s*(?P<relation><=|>=|<|>)\s*(?P<number>-?(?:\d+\.?\d*|\.\d+))\s*(?P<percent>%?)\s*"
)


class Requirement(NamedTuple):
    """The figure ``name`` (``end``: the low or high end of its interval, or '') must stand in this relation to ``bound``."""

    name: str
    end: str
    relation: str
    bound: float
    share: bool

    @property
    def text(self) -> str:
        return f"{self.name}{self.end}{self.relation}{self.bound:g}"

    def missed(self, figures: Mapping[str, Interval]) -> str | None:
        """How the figures do not meet it; None where they do. What is not known is not met."""
        found = figures.get(self.name)
        value = math.nan if found is None else getattr(found, self.end.removeprefix(".") or "value")
        if found is None or math.isnan(value):
            return f"{self.text} cannot be told: the run has no data for {self.name}"
        if _OPERATORS[self.relation](value, self.bound):
            return None
        return f"{self.text} is not met: {shown(found, self.share)}"


def shown(found: Interval, share: bool) -> str:
    """A figure with its interval, where it has one."""
    if share:
        return percent(found.value) if found.low == found.high else interval(found)
    return f"{found.value:.4g}" + ("" if not found.low < found.high else f" [{found.low:.4g}, {found.high:.4g}]")


def requirement(text: str, measures: Mapping[str, Range]) -> Requirement:
    """Read ``NAME<NUMBER`` (or ``>``, ``<=``, ``>=``), a share also in percent.

    measures: what can be required, and its range; ``NAME/PART`` is a measure of a part (a section, a principle).
    Raises UsageError where the text is not that.
    """
    parts = _FORM.fullmatch(text)
    known = parts and (measures.get(parts["name"]) or measures.get(parts["name"].partition("/")[0]))
    if not parts or not known:
        raise UsageError(f"--require {text!r}: expected one of {', '.join(measures)}, then < or >, then a number: 'NAME<0.3'")
    bound = float(parts["number"]) / (100 if parts["percent"] else 1)
    if not known[0] <= bound <= known[1]:
        what = "is a share, from 0 to 1" if known == SHARE else f"lies from {known[0]:g} to {known[1]:g}"
        raise UsageError(f"--require {text!r}: {parts['name']} {what}")
    return Requirement(parts["name"], parts["end"] or "", parts["relation"], bound, known == SHARE)


def missed(texts: Iterable[str], measures: Mapping[str, Range], figures: Mapping[str, Interval]) -> list[str]:
    """How the figures do not meet what the texts require. Raises UsageError as ``requirement``."""
    return [told for text in texts if (told := requirement(text, measures).missed(figures))]
