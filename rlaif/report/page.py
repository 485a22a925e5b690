"""The report: one HTML file per run, without a network or other files, and safe from the dataset's text."""

from __future__ import annotations

import base64
import hashlib
import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from rlaif.data.inputs import refuse_inputs, refuse_others_file
from rlaif.data.records import CanaryRecord, FailureRecord, PreferenceRecord, beside_overall, read_records
from rlaif.data.rows import Turn
from rlaif.data.run_folder import OUTPUTS
from rlaif.data.write import atomic_write, dumps
from rlaif.evaluate import table
from rlaif.evaluate.findings import findings
from rlaif.evaluate.judgement import Quality
from rlaif.evaluate.quality import quality
from rlaif.report.plots import histogram, reliability_plot

MAX_PAIRS = 2000
_MAX_TEXT = 8000
_MAX_FAILURES = 500
_HERE = Path(__file__).parent

R = TypeVar("R")


def write_report(
    run_folder: Path,
    out: Path | None = None,
    max_pairs: int = MAX_PAIRS,
    overwrite: bool = False,
    judged: Quality | None = None,
) -> Path:
    """Write a run's report, by default to ``report.html`` in its folder, and return where it is.

    max_pairs: with more pairs than that, the page holds a random sample (the same one every time) and says so.
    overwrite: whether a file at ``out`` that is no report may be replaced. judged: the run's figures, where they are known;
    else all of its records are read. Raises UsageError where it may not, where it is one
    of the run's own files, and where the folder holds no finished label run.
    """
    if out:
        refuse_inputs([run_folder / name for name in OUTPUTS if name != "report.html"], files=[out])
        if not overwrite:
            refuse_others_file(out, b'<meta name="generator" content="rlaif">', "report of rlaif's")
    judged = judged or quality(run_folder)
    pairs = list(read_records(run_folder / "preferences.jsonl", PreferenceRecord, lambda lines: sample(lines, max_pairs)))
    failures = list(islice(read_records(run_folder / "failures.jsonl", FailureRecord), _MAX_FAILURES))
    missed = [canary for canary in read_records(run_folder / "canaries.jsonl", CanaryRecord) if not canary.right]
    path = out or run_folder / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(render(judged, pairs, failures, missed))
    return path


def sample(records: Iterable[R], most: int) -> list[R]:
    """At most ``most`` of the records, each as likely as the next, in their order (reservoir sampling, fixed seed)."""
    kept: list[tuple[int, R]] = []
    draw = random.Random(0)
    for number, record in enumerate(records):
        if number < most:
            kept.append((number, record))
        elif (index := draw.randrange(number + 1)) < most:
            kept[index] = (number, record)
    return [record for _, record in sorted(kept, key=lambda pair: pair[0])]


def render(judged: Quality, pairs: list[PreferenceRecord], failures: list[FailureRecord], missed: list[CanaryRecord]) -> str:
    """The page. pairs, failures: those to show. missed: canaries that the critic got wrong or gave no verdict on."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    header, rows = table.cells(judged)
    run = judged.run
    return environment.get_template("page.html.j2").render(
        run=run,
        constitution=run.get("constitution", {}),
        title=f"{run.get('constitution', {}).get('name', 'run')}: report",
        facts=[*table.summary(judged), ("time", f"{run.get('seconds', 0):,.1f} s")],
        header=header,
        rows=rows,
        findings=findings(judged),
        plots=_plots(judged),
        names=[beside_overall(judgement.id) for judgement in judged.principles],
        redundancy=_redundancy(judged),
        reasons=judged.reasons,
        failures=[replace(failure, detail=failure.detail[:300]) for failure in failures],
        missed=missed,
        failures_left_out=max(0, sum(judged.reasons.values()) - len(failures)),
        shown=len(pairs),
        total=judged.overall.verdicts,
        has_gold=bool(judged.overall.table.sum()) or any(judgement.table.sum() for judgement in judged.principles),
        has_gaps=judged.position.asked > 0,
        data=embed(_payload(pairs)),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=(_HERE / "page.css").read_text(encoding="utf-8"),
    )


def embed(value: Any) -> str:
    """``value`` as JSON that no HTML or JavaScript parser can mistake for markup, whatever text it holds."""
    text = dumps(value)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


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
        rows.append(
            (judgement.id, [("–", 0.0) if math.isnan(r) else (f"{r:+.2f}", round(min(1.0, abs(r)), 2)) for r in values])
        )
    return rows


def _payload(pairs: list[PreferenceRecord]) -> dict[str, Any]:
    """What the list needs. Conversations and responses are held once: a row's pairs share them."""
    numbers: dict[str, int] = {}
    texts: list[list[list[str]]] = []

    def number(turns: Sequence[Turn]) -> int:
        key = dumps(turns)
        if key not in numbers:
            numbers[key] = len(texts)
            texts.append([[turn["role"], _cut(turn["content"])] for turn in turns])
        return numbers[key]

    shown = [
        {
            "id": pair.id,
            "row": pair.row,
            "prompt": number(pair.prompt),
            "chosen": number(pair.chosen),
            "rejected": number(pair.rejected),
            "p": pair.p_chosen,
            "gold": pair.gold_margin,
            "principles": _verdicts(pair),
            "rationale": pair.rationale,
        }
        for pair in pairs
    ]
    return {"texts": texts, "pairs": shown}


def _verdicts(pair: PreferenceRecord) -> list[list[Any]]:
    gold = pair.gold_margins
    return [
        [beside_overall(verdict.id), verdict.p, verdict.gap, verdict.weight, verdict.failure, gold.get(verdict.id)]
        for verdict in pair.principles
    ]


def _cut(text: str) -> str:
    left_out = len(text) - _MAX_TEXT
    return text if left_out <= 0 else f"{text[:_MAX_TEXT]}\n… ({left_out:,} more characters in preferences.jsonl)"
