"""The quality table, as text cells: for the terminal, the dataset card and the report alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rlaif.data.records import beside_overall
from rlaif.evaluate import agreement, calibration
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.judgement import Judgement, Quality
from rlaif.evaluate.prediction_powered import estimate

if TYPE_CHECKING:
    from rich.table import Table

NONE = "–"
_MAIN = ("principle", "verdicts", "failed", "flips", "agrees with gold", "r with gold")


def cells(quality: Quality) -> tuple[list[str], list[list[str]]]:
    """The header and one row per principle, then the overall one. Columns that no row has data for are left out."""
    header = [
        "principle",
        "verdicts",
        "failed",
        "label mass",
        "flips",
        "flips to first",
        "gap",
        "jury spread",
        "agrees with gold",
        "κ",
        "ECE",
        "r with gold",
    ]
    rows = [_row(beside_overall(judgement.id), judgement) for judgement in quality.principles]
    if quality.overall.verdicts:
        rows.append(_row(quality.overall.id, quality.overall))
    kept = [number for number in range(len(header)) if number < 3 or any(row[number] != NONE for row in rows)]
    return [header[number] for number in kept], [[row[number] for number in kept] for row in rows]


def summary(quality: Quality) -> list[tuple[str, str]]:
    """The run in a few facts, as (name, value)."""
    counts, position = quality.counts, quality.position
    unjudged = counts.get("unjudged", 0)
    reasons = ", ".join(f"{name} {number:,}" for name, number in quality.reasons.items())
    facts = [
        ("rows", f"{counts.get('rows_in', 0):,} in, {counts.get('rows_failed', 0):,} unusable"),
        ("preferences", f"{quality.overall.verdicts:,}" + (f"; {unjudged:,} without a verdict" if unjudged else "")),
        ("verdicts", f"{counts.get('verdicts', 0):,} ({counts.get('asked', 0):,} asked, {counts.get('cached', 0):,} cached)"),
        ("failure rate", percent(quality.failure_rate) + (f" ({reasons})" if reasons else "")),
        ("flips with position", interval(position.flip_rate)),
        ("flips towards the first shown", interval(position.primacy_share)),
        ("first shown chosen", interval(position.first_wins) if position.once else NONE),
        ("agrees with gold", interval(agreement.accuracy(quality.overall.table))),
        ("agrees with gold, estimated over all pairs", interval(estimate(quality.overall.known, quality.overall.unknown))),
        ("longer response chosen", interval(agreement.wilson(*quality.longer))),
        ("response with a list chosen", interval(agreement.wilson(*quality.listed))),
        ("cyclic triples", interval(agreement.wilson(*quality.cycles))),
        ("jury unanimous", interval(agreement.wilson(*quality.jury))),
        ("canaries right", interval(agreement.wilson(*quality.canaries)) + _of(quality.canaries[1])),
        ("most correlated", "{} and {}, r {:+.2f}".format(*quality.most_alike) if quality.most_alike else NONE),
        ("verdicts per second", NONE if math.isnan(quality.speed) else f"{quality.speed:,.0f}"),
        ("tokens per verdict", NONE if math.isnan(quality.tokens) else f"{quality.tokens:,.0f}"),
        ("paid for the critic", NONE if quality.dollars is None else f"${quality.dollars:,.4f}"),
    ]
    return [(name, value) for name, value in facts if value != NONE]


def as_table(quality: Quality) -> Table:
    """For ``rich``, within 80 columns: a row per principle with the main columns, and the run's facts below."""
    from rich import box
    from rich.table import Table

    header, rows = cells(quality)
    caption = "\n".join(f"{name}: {value}" for name, value in summary(quality))
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left", caption_style="")
    kept = [index for index, name in enumerate(header) if name in _MAIN]
    for index in kept:
        first = index == 0
        table.add_column(header[index], justify="left" if first else "right", no_wrap=True, max_width=24 if first else None)
    for number, row in enumerate(rows, 1):
        table.add_row(*(row[index] for index in kept), end_section=number == len(quality.principles))
    return table


def as_markdown(quality: Quality) -> str:
    """The same as a Markdown list and table."""
    header, rows = cells(quality)
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    facts = [f"- {name}: {value}" for name, value in summary(quality)]
    table = [f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines]
    return "\n".join([*facts, "", *table])


def percent(share: float) -> str:
    return NONE if math.isnan(share) else f"{share:.1%}"


def interval(share: Interval) -> str:
    """A share with its 95% interval, in percent."""
    return NONE if math.isnan(share.value) else f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]"


def _row(name: str, judgement: Judgement) -> list[str]:
    return [
        name,
        f"{judgement.verdicts:,}",
        percent(judgement.failure_rate),
        _decimal(judgement.mean_mass),
        percent(judgement.position.flip_rate.value),
        percent(judgement.position.primacy_share.value),
        _decimal(judgement.position.mean_gap, sign=True),
        _decimal(judgement.disagreement),
        interval(agreement.accuracy(judgement.table)),
        _decimal(agreement.kappa(judgement.table)),
        _decimal(calibration.ece(judgement.bins)),
        _decimal(agreement.correlation(judgement.moments)),
    ]


def _of(n: int) -> str:
    return f" of {n:,}" if n else ""


def _decimal(number: float, sign: bool = False) -> str:
    return NONE if math.isnan(number) else f"{number:+.3f}" if sign else f"{number:.3f}"
