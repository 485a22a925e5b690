"""What a verdict looks like in a dataset: one record per judged pair, and in score mode one per response."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.verdict import Comparison, Failure, FailureReason, Score
from rlaif.data.rows import Response, Row

DIGITS = 6
"""Decimals kept in files. The store keeps everything."""
OWN = frozenset(
    (
        "id prompt chosen rejected response p_chosen margin score principles rationale critic "
        "row index chosen_index rejected_index gold"
    ).split()
)
"""Columns of the records; a source column of the same name rides along as ``row_NAME``."""

Judged = Sequence[tuple[Principle, Comparison | Score | Failure]]


def preference_record(
    row: Row, pair: tuple[int, int], p: float, judged: Judged, constitution: Constitution, critic: str
) -> dict[str, Any]:
    """The record of a pair. p: probability that the pair's first response is better. All numbers in the record are turned
    to say how much better ``chosen`` is."""
    first_wins = p >= 0.5
    chosen, rejected = pair if first_wins else pair[::-1]
    p_chosen = round(p if first_wins else 1.0 - p, DIGITS)
    return {
        "id": f"{row.id}:{pair[0]}-{pair[1]}",
        "prompt": list(row.conversation),
        "chosen": list(row.responses[chosen].turns),
        "rejected": list(row.responses[rejected].turns),
        "p_chosen": p_chosen,
        "margin": round(2.0 * p_chosen - 1.0, DIGITS),
        "principles": [_compared(principle, verdict, first_wins) for principle, verdict in judged],
        "rationale": _rationale(judged, first_wins),
        "critic": critic,
        "row": row.number,
        "chosen_index": chosen,
        "rejected_index": rejected,
        "gold": _gold_margins(row, chosen, rejected, constitution),
        **riding({**row.extra, **_of_each("chosen", row.responses[chosen]), **_of_each("rejected", row.responses[rejected])}),
    }


def score_record(row: Row, index: int, value: float, judged: Judged, critic: str) -> dict[str, Any]:
    """The record of one scored response."""
    response = row.responses[index]
    return {
        "id": f"{row.id}:{index}",
        "prompt": list(row.conversation),
        "response": list(response.turns),
        "score": round(value, DIGITS),
        "principles": [_scored(principle, verdict) for principle, verdict in judged],
        "critic": critic,
        "row": row.number,
        "index": index,
        "gold": [{"id": name, "score": score} for name, score in response.gold.items()],
        **riding({**row.extra, **response.extra}),
    }


def failure_record(
    number: int,
    name: str | None,
    principle: str | None,
    subject: tuple[int, ...] | None,
    reason: FailureReason,
    detail: str,
    critic: str | None = None,
) -> dict[str, Any]:
    """What is missing, and why. critic: which one of a jury; None where there is but one."""
    where = {"row": number, "id": name, "principle": principle, "pair": list(subject) if subject else None}
    return {**where, "reason": str(reason), "detail": detail, **({"critic": critic} if critic else {})}


def canary_record(principle: Principle, name: str, won: float | None, verdict: Comparison | Failure) -> dict[str, Any]:
    """What the critic said of a known row. won: by how much the better response won, in [-1, 1]; None: no verdict."""
    return {
        "id": name,
        "principle": principle.id,
        "margin": None if won is None else round(won, DIGITS),
        "right": None if won is None else won > 0,
        "failure": str(verdict.reason) if isinstance(verdict, Failure) else None,
    }


def _compared(principle: Principle, verdict: Comparison | Score | Failure, first_wins: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": principle.id, "p": None, "gap": None, "weight": principle.weight, "mass": None, "cut": 0}
    if isinstance(verdict, Comparison):
        entry["p"] = round(verdict.p if first_wins else 1.0 - verdict.p, DIGITS)
        entry["gap"] = None if verdict.gap is None else round(verdict.gap, DIGITS)
        entry["mass"] = None if verdict.mass is None else round(verdict.mass, DIGITS)
        entry["cut"] = verdict.cut
    entry["failure"] = str(verdict.reason) if isinstance(verdict, Failure) else None
    jury = verdict.jury if isinstance(verdict, Comparison) else ()
    entry["jury"] = [None if p is None else round(p if first_wins else 1.0 - p, DIGITS) for p in jury] or None
    return entry


def _rationale(judged: Judged, first_wins: bool) -> str | None:
    """All reasons in one text, each under the principle's id and which response was A."""
    parts = [
        f"{principle.id} (A is {'chosen' if reason.swapped != first_wins else 'rejected'}): {reason.text.strip()}"
        for principle, verdict in judged
        if isinstance(verdict, Comparison)
        for reason in verdict.rationales
    ]
    return "\n\n".join(parts) or None


def _scored(principle: Principle, verdict: Comparison | Score | Failure) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": principle.id, "score": None, "weight": principle.weight, "mass": None, "cut": 0}
    if isinstance(verdict, Score):
        entry |= {"score": round(verdict.score, DIGITS), "mass": round(verdict.mass, DIGITS), "cut": verdict.cut}
    entry["failure"] = str(verdict.reason) if isinstance(verdict, Failure) else None
    jury = verdict.jury if isinstance(verdict, Score) else ()
    entry["jury"] = [None if value is None else round(value, DIGITS) for value in jury] or None
    return entry


def _gold_margins(row: Row, chosen: int, rejected: int, constitution: Constitution) -> list[dict[str, Any]]:
    """Known truth about the pair, where the dataset has it: per principle, and ``overall`` from the dataset's own
    preference or else from the principles' gold by weight."""
    better, worse = row.responses[chosen], row.responses[rejected]
    margins = {name: better.gold[name] - worse.gold[name] for name in better.gold if name in worse.gold}
    overall = margins.pop("overall", None)
    if overall is None and row.preferred in (chosen, rejected):
        overall = 1.0 if row.preferred == chosen else -1.0
    elif overall is None:
        overall = _weighted_gold(better, worse, row, constitution)
    if overall is not None:
        margins["overall"] = overall
    return [{"id": name, "margin": round(margin, DIGITS)} for name, margin in margins.items()]


def _weighted_gold(better: Response, worse: Response, row: Row, constitution: Constitution) -> float | None:
    """The weighted mean of gold margins, when every principle that applies to the row has gold."""
    applying = [principle for principle in constitution.principles if principle.applies(row.extra)]
    total = sum(principle.weight for principle in applying)
    if not total or any(principle.id not in better.gold or principle.id not in worse.gold for principle in applying):
        return None
    return sum(item.weight * (better.gold[item.id] - worse.gold[item.id]) for item in applying) / total


def _of_each(side: str, response: Response) -> dict[str, Any]:
    """What the dataset says of a response, as columns of the pair: ``model`` becomes ``chosen_model``."""
    return {f"{side}_{name}": value for name, value in response.extra.items()}


def riding(extra: Mapping[str, Any], own: Collection[str] = OWN) -> dict[str, Any]:
    """A source's columns as a record carries them. own: the record's own columns."""
    return {f"row_{name}" if name in own else name: value for name, value in extra.items()}
