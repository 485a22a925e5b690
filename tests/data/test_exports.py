import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.data.exports import EXPORTS, rankings, sft, unpaired, write_export
from rlaif.data.read import read_rows
from rlaif.data.records import PreferenceRecord, ScoreRecord
from rlaif.data.rows import Row, Turn
from tests.reference.fake_run import write_lines


def pair(row: int, first: int, second: int, p: float) -> PreferenceRecord:
    """p: that the first is better."""
    chosen, rejected = (first, second) if p >= 0.5 else (second, first)
    return PreferenceRecord(
        id=f"r{row}:{first}-{second}",
        row=row,
        prompt=(Turn(role="user", content=f"q{row}"),),
        chosen=(Turn(role="assistant", content=f"a{row}.{chosen}"),),
        rejected=(Turn(role="assistant", content=f"a{row}.{rejected}"),),
        chosen_index=chosen,
        rejected_index=rejected,
        p_chosen=max(p, 1 - p),
    )


@st.composite
def labelled(draw: st.DrawFn) -> list[PreferenceRecord]:
    records = []
    for row in range(draw(st.integers(1, 4))):
        n = draw(st.integers(2, 5))
        for first, second in itertools.combinations(range(n), 2):
            records.append(pair(row, first, second, draw(st.integers(0, 8)) / 8))
    return records


def means(records: list[PreferenceRecord]) -> dict[int, dict[int, float]]:
    """By row and response, the mean of its probabilities to win; looked up, not streamed."""
    won: dict[int, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        won[record.row][record.chosen_index].append(record.p_chosen)
        won[record.row][record.rejected_index].append(1 - record.p_chosen)
    return {row: {index: sum(ps) / len(ps) for index, ps in held.items()} for row, held in won.items()}


@given(labelled())
def test_rankings_hold_every_response_best_first(records: list[PreferenceRecord]) -> None:
    known = means(records)
    ranked = list(rankings(records))
    assert [row.id for row in ranked] == [f"r{row}" for row in known]
    for row, held in zip(ranked, known.values(), strict=True):
        assert sorted(row.indexes) == sorted(held)
        assert row.values == pytest.approx([held[index] for index in row.indexes], abs=1e-6)
        assert list(row.values) == sorted(row.values, reverse=True)
        assert [said[0]["content"][-1] for said in row.responses] == [str(index) for index in row.indexes]


@given(labelled())
def test_sft_takes_a_best_response_of_each_row(records: list[PreferenceRecord]) -> None:
    known = means(records)
    for best, (row, held) in zip(sft(records), known.items(), strict=True):
        assert best.value == pytest.approx(max(held.values()), abs=1e-6)
        assert best.completion[0]["content"] == f"a{row}.{best.id[-1]}"


@given(labelled())
def test_unpaired_labels_each_response_once_by_whether_it_wins_more_than_it_loses(records: list[PreferenceRecord]) -> None:
    known = {f"r{row}:{index}": p for row, held in means(records).items() for index, p in held.items()}
    labels = {record.id: record.label for record in unpaired(records)}
    assert labels == {name: p > 0.5 for name, p in known.items() if p != 0.5}


def test_scores_rank_too() -> None:
    records = [
        ScoreRecord(id=f"x:{index}", row=1, prompt=(), response=(), index=index, score=score)
        for index, score in enumerate([-0.5, 0.25, -1.0])
    ]
    assert [row.indexes for row in rankings(records)] == [(1, 0, 2)]
    assert [row.id for row in sft(records)] == ["x:1"]


def test_exports_stream() -> None:
    def forever() -> Any:
        for row in itertools.count():
            yield pair(row, 0, 1, 0.75)

    for export in EXPORTS.values():
        assert len(list(itertools.islice(export(forever()), 4))) == 4


def test_files_are_written_and_rankings_can_be_read_back(tmp_path: Path) -> None:
    write_lines(tmp_path / "preferences.jsonl", [pair(1, 0, 1, 0.9).to_dict(), pair(2, 0, 1, 0.2).to_dict()])
    for name in EXPORTS:
        write_export(name, tmp_path)
        assert (tmp_path / f"{name}.parquet").is_file()
    assert [json.loads(line)["label"] for line in (tmp_path / "unpaired.jsonl").open()] == [True, False, False, True]
    rows = list(read_rows(str(tmp_path / "rankings.jsonl")))
    assert [len(row.responses) for row in rows if isinstance(row, Row)] == [2, 2]
