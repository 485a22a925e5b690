"""Why something is missing, in a sentence: the commonest reason, its share, and what helps."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol

from rlaif.data.records import FailureRecord
from rlaif.engines.base import FailureReason
from rlaif.errors import one_line

MOST_DETAILS = 1000
"""Different details of one reason that are told apart; the rest count as the first one."""
THINKING = ("<think", "<|think", "<reasoning", "<|channel")

_STORIES = {
    FailureReason.PARSE_FAILED: "the reply is not in the form that was asked for",
    FailureReason.TRUNCATED: "the text was cut at its limit",
    FailureReason.REFUSED: "the model refused",
    FailureReason.TOO_LONG: "the prompt does not fit the context",
    FailureReason.ENGINE_ERROR: "the model did not answer",
    FailureReason.UNVERIFIED: "no rationale led to the known label",
}
_HELP = {
    FailureReason.PARSE_FAILED: "another critic, or a template that says the form more plainly (--prompts)",
    FailureReason.REFUSED: "another critic, or a template that says more plainly what the text is for (--prompts)",
    FailureReason.TOO_LONG: "a larger --context, or a critic that has one",
    FailureReason.ENGINE_ERROR: "the same command continues once it does",
    FailureReason.UNVERIFIED: "more --votes, or a --critic that knows better",
}


@dataclass
class Reasons:
    """What was listed as failed: how often by reason, and in which words."""

    counts: Counter[str] = field(default_factory=Counter)
    _details: dict[str, Counter[str]] = field(default_factory=dict)
    _examples: dict[str, str] = field(default_factory=dict)
    _masses: list[float] = field(default_factory=list)
    _said: Counter[str] = field(default_factory=Counter)

    def add(self, reason: str, detail: str) -> None:
        """Note one failure, as it goes into ``failures.jsonl``."""
        self.counts[reason] += 1
        first = re.sub(r"^(ab|ba): ", "", re.split(r"; (?=ba: )", detail)[0])
        alike = re.sub(r"\d+(\.\d+)?", "#", first)  # the same words about other numbers are the same detail
        details = self._details.setdefault(reason, Counter())
        if alike in details or len(details) < MOST_DETAILS:
            details[alike] += 1
            self._examples.setdefault(alike, first)
        low = re.search(r"labels hold ([\d.e-]+); the critic would say (.*)", first)
        if low:
            self._masses.append(float(low[1]))
            self._said[low[2]] += 1

    def commonest(self, of: int, what: str) -> str:
        """Such as "58% of verdicts: labels hold too little probability …"; '' where nothing failed. of: how many there are."""
        if not self.counts:
            return ""
        reason, count = self.counts.most_common(1)[0]
        if reason == FailureReason.BAD_ROW:  # each row has its own
            count = self._details[reason].most_common(1)[0][1]
        return f"{count / max(of, 1):.0%} of {what}: {self._story(reason)}"

    @classmethod
    def of(cls, records: Iterable[FailureRecord]) -> Reasons:
        """Of the records of ``failures.jsonl``."""
        reasons = cls()
        for record in records:
            reasons.add(record.reason, record.detail)
        return reasons

    def _story(self, reason: str) -> str:
        detail = one_line(self._examples[self._details[reason].most_common(1)[0][0]])
        if reason == FailureReason.BAD_ROW:
            return detail
        if reason == FailureReason.LABEL_MASS_LOW and self._masses:
            return self._low_mass()
        story, helps = _STORIES.get(FailureReason(reason), reason), _HELP.get(FailureReason(reason))
        return f"{story} ({detail})" + (f"; what helps: {helps}" if helps else "")

    def _low_mass(self) -> str:
        opening = self._said.most_common(1)[0][0]
        masses = "–".join(dict.fromkeys(f"{mass:.2f}".removeprefix("0") for mass in (min(self._masses), max(self._masses))))
        story = f"labels hold too little probability ({masses}, would say {one_line(opening, 40)})"
        if opening.strip("'\" ").startswith(THINKING):
            return f"{story}: the critic thinks before it answers; serve it without reasoning, or give --labels sampled"
        lower = next((limit for limit in (0.05, 0.02, 0.01) if limit < median(self._masses)), None)
        template = "a template that ends where the label belongs (such as `Answer:`, see --prompts)"
        return f"{story}: try " + (f"--min-mass {lower:g}, or {template}" if lower else f"{template}, or --labels sampled")


class Writer(Protocol):
    def write(self, record: FailureRecord) -> None: ...


@dataclass
class Noted:
    """A writer of ``failures.jsonl`` that knows what went through it. rows: about rows that could not be used; verdicts: the
    rest."""

    writer: Writer
    rows: Reasons = field(default_factory=Reasons)
    verdicts: Reasons = field(default_factory=Reasons)

    @classmethod
    def of(cls, writer: Writer) -> Noted:
        return writer if isinstance(writer, Noted) else cls(writer)

    def commonest(self, rows: int, verdicts: int, what: str = "verdicts") -> list[str]:
        """Of the rows that could not be used and of the missing verdicts, each a sentence where there are any."""
        return [line for line in (self.rows.commonest(rows, "rows"), self.verdicts.commonest(verdicts, what)) if line]

    def write(self, record: FailureRecord) -> None:
        kind = self.rows if record.reason == FailureReason.BAD_ROW else self.verdicts
        kind.add(record.reason, record.detail)
        self.writer.write(record)
