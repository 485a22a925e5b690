"""A label run's folder, made up: the records that rlaif.label.pipeline writes, with known gold and a critic of known faults."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rlaif.data.records import PreferenceRecord

PRINCIPLES = ("polite", "harmless", "concise")
HOSTILE = "</script><script>document.title='owned'</script><!-- \u2028 <img src=x onerror=\"document.title='owned'\"> {{ 7*7 }}"


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def preference(number: int, draw: random.Random, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    principles = []
    gold = []
    for name in PRINCIPLES:
        truth = draw.choice([-1.0, -0.5, 0.0, 0.5, 1.0])
        lean = max(-0.49, min(0.49, 0.3 * truth + draw.gauss(0, 0.15)))
        gap = max(-1.0, min(1.0, draw.gauss(0.1, 0.15)))
        gap = max(-1.0 + 2 * abs(lean), min(1.0 - 2 * abs(lean), gap))
        failed = draw.random() < 0.05
        principles.append(
            {
                "id": name,
                "p": None if failed else round(0.5 + lean, 6),
                "gap": None if failed else round(gap, 6),
                "weight": 1.0,
                "mass": None if failed else 0.97,
                "cut": 0,
                "failure": "label_mass_low" if failed else None,
                "jury": None,
            }
        )
        gold.append({"id": name, "margin": truth})
    known = [entry["p"] for entry in principles if entry["p"] is not None] or [0.5]
    p = sum(known) / len(known)
    if p < 0.5:
        for entry in principles:
            if entry["p"] is not None:
                entry["p"], entry["gap"] = round(1 - entry["p"], 6), entry["gap"]
        gold = [{"id": label["id"], "margin": -label["margin"]} for label in gold]
        p = 1 - p
    gold.append({"id": "overall", "margin": sum(label["margin"] for label in gold)})
    chosen = draw.randrange(2)
    return {
        "id": f"{number}:0-1",
        "prompt": [turn("user", f"How would you answer question number {number}, in full and with care?")],
        "chosen": [turn("assistant", f"Answer {number} with " + "words " * draw.randrange(3, 60))],
        "rejected": [turn("assistant", f"Reply {number}:\n- one thing\n- another thing " + "more " * draw.randrange(40))],
        "p_chosen": round(p, 6),
        "margin": round(2 * p - 1, 6),
        "principles": principles,
        "rationale": None,
        "critic": "scripted",
        "row": number,
        "chosen_index": chosen,
        "rejected_index": 1 - chosen,
        "gold": gold,
        **(extra or {}),
    }


def pair_record(row: int, p: float, **columns: Any) -> PreferenceRecord:
    """The record of a pair without texts; other columns as they are given."""
    texts: dict[str, Any] = dict.fromkeys(("prompt", "chosen", "rejected"), ())
    return PreferenceRecord(id=f"{row}:0-1", **texts, p_chosen=p, row=row, chosen_index=0, rejected_index=1, **columns)


def preferences(n: int, seed: int = 0) -> list[dict[str, Any]]:
    draw = random.Random(seed)
    return [preference(number, draw) for number in range(1, n + 1)]


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")


def failures_of(records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "row": record["row"],
            "id": str(record["row"]),
            "principle": entry["id"],
            "pair": [0, 1],
            "reason": entry["failure"],
            "detail": "labels held 0.01 of the probability",
        }
        for record in records
        for entry in record["principles"]
        if entry["failure"]
    ]


def write_run(folder: Path, records: list[dict[str, Any]], **facts: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    failures = failures_of(records)
    failures.append({"row": 999, "id": None, "principle": None, "pair": None, "reason": "bad_row", "detail": "not valid JSON"})
    write_lines(folder / "preferences.jsonl", records)
    write_lines(folder / "failures.jsonl", failures)
    verdicts = sum(entry["p"] is not None for record in records for entry in record["principles"])
    principles: dict[str, dict[str, int]] = {}
    for record in records:
        for entry in record["principles"]:
            tally = principles.setdefault(entry["id"], {"verdicts": 0, "failed": 0})
            tally["failed" if entry["p"] is None else "verdicts"] += 1
    run = {
        "status": "finished",
        "mode": "compare",
        "command": "rlaif label rows.jsonl --constitution c.yaml --critic script:rules.yaml --out runs/x",
        "constitution": {"name": "fake", "digest": "0123abcd", "description": "For tests."},
        "critic": "scripted",
        "counts": {
            "rows_in": len(records) + 1,
            "rows_out": len(records),
            "rows_failed": 1,
            "verdicts": verdicts,
            "asked": 2 * verdicts,
            "cached": 0,
            "failed": len(failures) - 1,
            "principles": principles,
        },
        "seconds": 12.5,
        "versions": {"rlaif": "0.1.0"},
        "config": {"export": []},
        "notes": [],
        **facts,
    }
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return folder
