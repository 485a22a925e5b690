import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from rlaif.errors import UsageError
from rlaif.evaluate import agreement, calibration
from rlaif.evaluate import quality as module
from rlaif.evaluate.agreement import accuracy
from rlaif.evaluate.quality import as_markdown, as_table, quality
from tests.reference import statistics as slow
from tests.reference.fake_run import PRINCIPLES, preferences, turn, write_lines, write_run


@pytest.mark.parametrize("batch", [7, 1000])
def test_every_number_against_plain_counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(module, "_BATCH", batch)
    records = preferences(300)
    judged = quality(write_run(tmp_path, records))
    assert [one.id for one in judged.principles] == list(PRINCIPLES)
    for one in judged.principles:
        entries = [
            (entry, gold_of(record, one.id)) for record in records for entry in record["principles"] if entry["id"] == one.id
        ]
        known = [(entry["p"], entry["gap"], margin) for entry, margin in entries if entry["p"] is not None]
        ps, margins = [p for p, _, _ in known], [margin for _, _, margin in known]
        assert (one.verdicts, one.failed) == (len(known), len(entries) - len(known))
        assert one.mean_mass == pytest.approx(0.97)
        assert agreement.accuracy(one.table).value == pytest.approx(slow.accuracy(ps, margins))
        assert calibration.ece(one.bins) == pytest.approx(slow.ece(ps, margins, calibration.BINS))
        assert one.position.flips == sum((p + gap / 2 > 0.5) != (p - gap / 2 > 0.5) for p, gap, _ in known)
        assert one.position.mean_gap == pytest.approx(sum(gap for _, gap, _ in known) / len(known))
    overall = slow.accuracy([record["p_chosen"] for record in records], [gold_of(record, "overall") for record in records])
    assert agreement.accuracy(judged.overall.table).value == pytest.approx(overall)
    lengths = [(len(record["chosen"][0]["content"]), len(record["rejected"][0]["content"])) for record in records]
    assert judged.longer == (sum(a > b for a, b in lengths), sum(a != b for a, b in lengths))
    assert judged.reasons == {"label_mass_low": sum(one.failed for one in judged.principles), "bad_row": 1}
    assert int(judged.overall.spread.sum()) == 300


def gold_of(record: dict[str, Any], name: str) -> float:
    return next(float(label["margin"]) for label in record["gold"] if label["id"] == name)


def test_scores(tmp_path: Path) -> None:
    folder = write_run(tmp_path, [], mode="score")
    values = [(-1.0, -0.8), (0.0, 0.3), (0.5, 0.4), (1.0, 0.9)]
    write_lines(
        folder / "scores.jsonl",
        [
            {
                "id": f"{number}:0",
                "prompt": [turn("user", "q")],
                "response": [turn("assistant", "a")],
                "score": score,
                "principles": [
                    {"id": "polite", "score": score, "weight": 1.0, "mass": 0.9, "cut": 0, "failure": None},
                    {"id": "brief", "score": None, "weight": 1.0, "mass": None, "cut": 0, "failure": "too_long"},
                ],
                "critic": "x",
                "row": number,
                "index": 0,
                "gold": [{"id": "polite", "score": gold}],
            }
            for number, (score, gold) in enumerate(values, 1)
        ],
    )
    polite, brief = quality(folder).principles
    assert (polite.verdicts, brief.verdicts) == (4, 0)
    assert agreement.correlation(polite.moments) == pytest.approx(slow.pearson(*zip(*values, strict=True)))


def test_principles_that_first_appear_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    records = preferences(6)
    for record in records[:4]:
        record["principles"] = record["principles"][:1]
    judged = quality(write_run(tmp_path, records))
    assert [one.id for one in judged.principles] == list(PRINCIPLES)
    assert judged.redundancy.shape == (3, 3)


def test_the_tables_say_the_same_and_leave_out_what_is_unknown(tmp_path: Path) -> None:
    records = preferences(50)
    for record in records:
        record["gold"] = []
    judged = quality(write_run(tmp_path, records))
    out = io.StringIO()
    Console(file=out, width=200).print(as_table(judged))
    for text in (out.getvalue(), as_markdown(judged)):
        assert all(name in text for name in PRINCIPLES)
        assert "failure rate" in text and "flips" in text
        assert "gold" not in text and "ECE" not in text


def test_an_empty_run_has_no_numbers(tmp_path: Path) -> None:
    judged = quality(write_run(tmp_path, []))
    assert math.isnan(judged.overall.position.mean_gap)
    Console(file=io.StringIO()).print(as_table(judged))


def test_folders_that_hold_no_finished_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        quality(tmp_path / "none")
    (tmp_path / "run.json").write_text(json.dumps({"mode": "compare"}))
    with pytest.raises(UsageError, match="has not finished"):
        quality(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        quality(tmp_path)


def test_cycles_are_counted_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    records = preferences(8)
    #      row 1: 0 > 1 > 2 > 0        row 2: 0 > 1 > 2, 0 > 2       row 3: one pair, undecided ones of row 4
    wins = [(1, 0, 1), (1, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 2), (2, 0, 2), (3, 0, 1), (4, 1, 0)]
    for record, (row, chosen, rejected) in zip(records, wins, strict=True):
        record |= {"row": row, "chosen_index": chosen, "rejected_index": rejected, "p_chosen": 0.8}
    judged = quality(write_run(tmp_path, records))
    assert judged.cycles == (1, 2)
    assert "cyclic triples: 50.0%" in as_markdown(judged)


def test_a_jury_is_of_one_mind_or_apart(tmp_path: Path) -> None:
    records = preferences(3)
    for record, ps in zip(records, ([0.9, 0.7], [0.9, 0.3], [0.8, None]), strict=True):
        record["principles"] = record["principles"][:1]
        record["principles"][0] |= {"jury": ps, "p": 0.6, "failure": None}
    judged = quality(write_run(tmp_path, records))
    assert judged.jury == (1, 2)
    assert judged.principles[0].disagreement == pytest.approx((0.1 + 0.3) / 2)
    assert "jury unanimous: 50.0%" in as_markdown(judged) and "| jury spread |" in as_markdown(judged)
    assert "jury" not in as_markdown(quality(write_run(tmp_path / "alone", preferences(3))))


def test_canaries_speed_tokens_and_the_principles_most_alike(tmp_path: Path) -> None:
    records = preferences(40)
    for record in records:
        polite, harmless, _ = record["principles"]
        harmless |= {"p": polite["p"], "failure": polite["failure"]}
    counts = {"verdicts": 100, "asked": 200, "cached": 0, "prompt_tokens": 5000, "completion_tokens": 700, "rows_in": 40}
    facts = {"counts": counts | {"canaries": 8, "canaries_right": 6}, "timings": {"label_seconds": 4.0}}
    text = as_markdown(quality(write_run(tmp_path, records, **facts)))
    for fact in ("canaries right: 75.0% [40.9, 92.9] of 8", "most correlated: polite and harmless, r +1.00"):
        assert f"- {fact}\n" in text
    assert "- verdicts per second: 25\n- tokens per verdict: 57\n" in text
    facts["counts"] |= {"cached": 50}
    assert "- verdicts per second: 20\n" in as_markdown(quality(write_run(tmp_path, records, **facts)))
    facts["counts"] |= {"asked": 0}
    assert "per second" not in as_markdown(quality(write_run(tmp_path, records, **facts)))


def test_a_labelled_part_speaks_for_all_pairs(tmp_path: Path) -> None:
    """Only where some pairs have gold and some have none; and whatever the batches."""
    records = [record for record in preferences(400, seed=5) if any(label["id"] == "overall" for label in record["gold"])]
    whole = as_markdown(quality(write_run(tmp_path / "whole", records)))
    assert "estimated over all pairs" not in whole
    for record in records[100:]:
        record["gold"] = []
    judged = quality(write_run(tmp_path / "part", records))
    known, unknown = judged.overall.known, judged.overall.unknown
    assert unknown[0] == len(records) - 100
    assert known[0] == judged.overall.table.sum() / 2
    assert known[2] == pytest.approx(accuracy(judged.overall.table).value * known[0])
    assert "- agrees with gold, estimated over all pairs: " in as_markdown(judged)
