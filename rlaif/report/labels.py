"""The report of a run that judged pairs: how good its labels are, what failed, and every pair."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rlaif.data.records import CanaryRecord, FailureRecord, PreferenceRecord, beside_overall, read_records
from rlaif.evaluate import table
from rlaif.evaluate.findings import findings
from rlaif.evaluate.judgement import Quality
from rlaif.evaluate.quality import quality
from rlaif.report.pairs import Pairs
from rlaif.report.plots import histogram, reliability_plot
from rlaif.report.questions import critics_of, questions_of
from rlaif.report.render import html

_MAX_FAILURES = 500


def report(folder: Path, max_pairs: int, judged: Quality | None = None) -> str:
    """The page. judged: the run's figures, where they are known.

    Raises UsageError where the folder holds no finished run with preferences.
    """
    judged = judged or quality(folder)
    run, total = judged.run, judged.overall.verdicts
    questions = questions_of(folder, run)
    pairs = Pairs(questions)
    with questions:
        pairs.add(records(folder, total, max_pairs))
    failures = list(islice(read_records(folder / "failures.jsonl", FailureRecord), _MAX_FAILURES))
    missed = [canary for canary in read_records(folder / "canaries.jsonl", CanaryRecord) if not canary.right]
    constitution = run.get("constitution", {})
    header, rows = table.cells(judged)
    return html(
        "label",
        pairs.blocks({"critics": len(critics_of(run))}),
        run=run,
        name=constitution.get("name") or "Run",
        description=constitution.get("description"),
        title=f"{constitution.get('name', 'run')}: report",
        facts=[*table.summary(judged), ("time", f"{run.get('seconds', 0):,.1f} s")],
        header=header,
        rows=rows,
        findings=findings(judged),
        plots=_plots(judged),
        redundancy=_redundancy(judged),
        reasons=judged.reasons,
        failures=[_failure(failure) for failure in failures],
        failures_left_out=max(0, sum(judged.reasons.values()) - len(failures)),
        missed=[(canary.id, _canary(canary)) for canary in missed],
        shown=min(total, max_pairs),
        total=total,
        **judged_by(judged),
        made=made(run),
    )


def records(folder: Path, total: int, most: int) -> Iterator[PreferenceRecord]:
    """At most ``most`` of the run's ``total`` pairs, each as likely as the next, in their order (fixed seed)."""
    chosen = range(total) if total <= most else set(random.Random(0).sample(range(total), most))
    picked = lambda lines: (line for number, line in enumerate(lines) if number in chosen)  # noqa: E731
    return read_records(folder / "preferences.jsonl", PreferenceRecord, picked)


def judged_by(judged: Quality) -> dict[str, bool]:
    """What there is to filter by."""
    known = bool(judged.overall.table.sum()) or any(judgement.table.sum() for judgement in judged.principles)
    return {"has_gold": known, "has_gaps": judged.position.asked > 0}


def made(run: Any) -> list[tuple[str, str]]:
    constitution = run.get("constitution", {})
    named = f"{constitution.get('name') or '?'} {constitution.get('digest') or ''}"
    return [("critic", run.get("critic") or "?"), ("constitution", named)]


def _plots(judged: Quality) -> list[dict[str, str]]:
    drawn = [
        ("How sure the preferences are", histogram(judged.overall)),
        ("Calibration of the preferences", reliability_plot(judged.overall, "p_chosen")),
    ]
    return [{"title": title, "svg": svg} for title, svg in drawn if svg]


def _redundancy(judged: Quality) -> list[tuple[str, list[tuple[str, float]]]]:
    """Rows of (principle, [(text, strength in [0, 1])]) below the diagonal."""
    rows = []
    for row, judgement in enumerate(judged.principles):
        values = judged.redundancy[row, :row].tolist()
        told = [("–", 0.0) if math.isnan(r) else (f"{r:+.2f}", round(min(1.0, abs(r)), 2)) for r in values]
        rows.append((beside_overall(judgement.id), told))
    return rows


def _failure(failure: FailureRecord) -> Sequence[object]:
    pair = ", ".join(map(str, failure.pair or ()))
    return failure.row, failure.principle or "", pair, failure.reason, failure.detail[:300]


def _canary(canary: CanaryRecord) -> str:
    if canary.failure:
        return f"gave no verdict: {canary.failure}"
    return f"prefers the worse response by {-canary.margin:.2f}" if canary.margin else "is undecided"
