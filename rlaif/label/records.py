"""Verdicts as records: one per judged pair, and in score mode one per response."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.jury import Judged, swapped
from rlaif.critic.verdict import Comparison, Failure, FailureReason, Score
from rlaif.data.columns import DIGITS, columns
from rlaif.data.records import (
    OVERALL,
    CanaryRecord,
    FailureRecord,
    GoldMargin,
    GoldScore,
    PreferenceRecord,
    PrincipleScore,
    PrincipleVerdict,
    ScoreRecord,
    beside_overall,
)
from rlaif.data.rows import Response, Row

OWN = columns(PreferenceRecord).keys() | columns(ScoreRecord).keys()
"""Columns of the records; a source column of the same name is kept as ``row_NAME``."""


def preference_record(
    row: Row, pair: tuple[int, int], p: float, judged: Judged, constitution: Constitution, critic: str
) -> PreferenceRecord:
    """The record of a pair. p: probability that the pair's first response is better. All numbers in the record are turned
    to say how much better ``chosen`` is."""
    first_wins = p >= 0.5
    chosen, rejected = pair if first_wins else pair[::-1]
    backwards = any(isinstance(verdict, Comparison) and verdict.first == 1 for _, verdict in judged)
    judged = judged if first_wins else swapped(judged)
    return PreferenceRecord(
        id=f"{row.id}:{pair[0]}-{pair[1]}",
        prompt=row.conversation,
        chosen=row.responses[chosen].turns,
        rejected=row.responses[rejected].turns,
        p_chosen=p if first_wins else 1.0 - p,
        principles=tuple(_compared(principle, verdict) for principle, verdict in judged),
        rationale=_rationale(judged),
        critic=critic,
        reversed=backwards or None,
        row=row.number,
        chosen_index=chosen,
        rejected_index=rejected,
        gold=_gold_margins(row, chosen, rejected, constitution),
        extra=riding(
            {**row.extra, **_of_each("chosen", row.responses[chosen]), **_of_each("rejected", row.responses[rejected])}
        ),
    )


def score_record(row: Row, index: int, value: float, judged: Judged, critic: str) -> ScoreRecord:
    """The record of one scored response."""
    response = row.responses[index]
    return ScoreRecord(
        id=f"{row.id}:{index}",
        prompt=row.conversation,
        response=response.turns,
        score=round(value, DIGITS),
        principles=tuple(_scored(principle, verdict) for principle, verdict in judged),
        critic=critic,
        row=row.number,
        index=index,
        gold=tuple(GoldScore(id=name, score=score) for name, score in response.gold.items()),
        extra=riding({**row.extra, **response.extra}),
    )


def failure_record(
    number: int,
    name: str | None,
    principle: str | None,
    subject: tuple[int, ...] | None,
    reason: FailureReason,
    detail: str,
    critic: str | None = None,
) -> FailureRecord:
    """What is missing, and why. critic: which one of a jury; None where there is but one."""
    return FailureRecord(
        row=number, id=name, principle=principle, pair=subject, reason=str(reason), detail=detail, critic=critic
    )


def canary_record(principle: Principle, name: str, won: float | None, verdict: Comparison | Failure) -> CanaryRecord:
    """What the critic said of a known row. won: by how much the better response won, in [-1, 1]; None: no verdict."""
    return CanaryRecord(
        id=name,
        principle=principle.id,
        margin=won,
        right=None if won is None else won > 0,
        failure=str(verdict.reason) if isinstance(verdict, Failure) else None,
    )


def _compared(principle: Principle, verdict: Comparison | Score | Failure) -> PrincipleVerdict:
    if not isinstance(verdict, Comparison):
        failure = str(verdict.reason) if isinstance(verdict, Failure) else None
        return PrincipleVerdict(id=principle.id, p=None, weight=principle.weight, failure=failure)
    return PrincipleVerdict(
        id=principle.id,
        p=_written(verdict.p),
        gap=_written(verdict.gap),
        weight=principle.weight,
        mass=_written(verdict.mass),
        cut=verdict.cut,
        jury=tuple(map(_written, verdict.jury)) or None,
        uncalibrated=_written(verdict.uncalibrated),
    )


def _written(value: float | None) -> float | None:
    """A number as files hold it: what is counted while a run goes on is what is read from its files."""
    return None if value is None else round(value, DIGITS)


def _rationale(judged: Judged) -> str | None:
    """All reasons in one text, each under the principle's id and which response was A. judged: with ``chosen`` as the first."""
    parts = [
        f"{principle.id} (A is {'rejected' if reason.swapped else 'chosen'}): {reason.text.strip()}"
        for principle, verdict in judged
        if isinstance(verdict, Comparison)
        for reason in verdict.rationales
    ]
    return "\n\n".join(parts) or None


def _scored(principle: Principle, verdict: Comparison | Score | Failure) -> PrincipleScore:
    if not isinstance(verdict, Score):
        failure = str(verdict.reason) if isinstance(verdict, Failure) else None
        return PrincipleScore(id=principle.id, score=None, weight=principle.weight, failure=failure)
    return PrincipleScore(
        id=principle.id,
        score=_written(verdict.score),
        weight=principle.weight,
        mass=_written(verdict.mass),
        cut=verdict.cut,
        jury=tuple(map(_written, verdict.jury)) or None,
    )


def _gold_margins(row: Row, chosen: int, rejected: int, constitution: Constitution) -> tuple[GoldMargin, ...]:
    """Known truth about the pair, where the dataset has it: per principle, and ``overall`` from the dataset's own
    preference or else from the principles' gold by weight."""
    better, worse = row.responses[chosen], row.responses[rejected]
    margins = {name: better.gold[name] - worse.gold[name] for name in better.gold if name in worse.gold}
    overall = margins.pop(OVERALL, None)
    if overall is None and row.preferred in (chosen, rejected):
        overall = 1.0 if row.preferred == chosen else -1.0
    elif overall is None:
        overall = _weighted_gold(better, worse, row, constitution)
    if overall is not None:
        margins[OVERALL] = overall
    return tuple(GoldMargin(id=name, margin=round(margin, DIGITS)) for name, margin in margins.items())


def _weighted_gold(better: Response, worse: Response, row: Row, constitution: Constitution) -> float | None:
    """The weighted mean of gold margins, when every principle that applies to the row has gold."""
    weights = {beside_overall(item.id): item.weight for item in constitution.principles if item.applies(row.extra)}
    total = sum(weights.values())
    if not total or any(name not in better.gold or name not in worse.gold for name in weights):
        return None
    return sum(weight * (better.gold[name] - worse.gold[name]) for name, weight in weights.items()) / total


def _of_each(side: str, response: Response) -> dict[str, Any]:
    """What the dataset says of a response, as columns of the pair: ``model`` becomes ``chosen_model``."""
    return {f"{side}_{name}": value for name, value in response.extra.items()}


def riding(extra: Mapping[str, Any], own: Collection[str] = OWN) -> dict[str, Any]:
    """A source's columns as a record carries them. own: the record's own columns."""
    return {f"row_{name}" if name in own else name: value for name, value in extra.items()}
