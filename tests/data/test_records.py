"""The records against the files of earlier versions, their documentation and the types that pyarrow finds by itself."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from rlaif.data.card import card
from rlaif.data.columns import columns, meanings
from rlaif.data.exports import write_export
from rlaif.data.parquet import own_types
from rlaif.data.records import (
    RECORDS,
    FailureRecord,
    GoldMargin,
    PreferenceRecord,
    PrincipleVerdict,
    RevisionRecord,
    beside_overall,
    read_records,
)
from rlaif.data.write import dumps
from rlaif.errors import UsageError
from tests.reference.fake_run import pair_record, preferences, write_lines

ROOT = Path(__file__).parents[2]
OLD = sorted((Path(__file__).parent / "store" / "expected").glob("*.jsonl"))


def kind_of(path):
    return RECORDS.get(path.stem.partition("-")[2], PreferenceRecord)


@pytest.mark.parametrize("path", OLD, ids=lambda path: path.stem)
def test_files_of_earlier_versions_are_read_and_written_byte_for_byte(path):
    written = [dumps(record.to_dict()) + "\n" for record in read_records(path, kind_of(path))]
    assert "".join(written) == path.read_text(encoding="utf-8")
    assert len(written) > 0


def test_the_tables_of_the_docs_are_those_of_the_records():
    """Each table follows a paragraph that begins with the file's name."""
    text = (ROOT / "docs" / "rows.md").read_text(encoding="utf-8").partition("## Rows out")[2]
    tables = re.findall(
        r"^`(\w+)\.jsonl`(?:(?!\n\n).|\n(?!\n))*\n\n\| column \| \|\n\|---\|---\|\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    documented = {name: dict(re.findall(r"^\| `(.*?)` \| (.*) \|$", rows, re.MULTILINE)) for name, rows in tables}
    assert documented == {name: meanings(kind) for name, kind in RECORDS.items() if name != "rejected"}


def test_the_card_lists_every_column_of_every_subset():
    text = card({"config": {"export": ["sft", "rankings", "unpaired"]}}, "", scored=True)
    for name in ("preferences", "scores", "sft", "rankings", "unpaired"):
        for column, meaning in meanings(RECORDS[name]).items():
            assert f"- `{column}`: {meaning}" in text


def test_the_types_in_parquet_are_those_that_pyarrow_finds_in_a_full_record():
    """The oracle reads values; the records' types come from annotations."""
    verdict = PrincipleVerdict(id="a", p=0.5, gap=0.1, weight=1.0, mass=0.9, cut=1, failure="refused", jury=(0.5, None))
    full = replace(
        PreferenceRecord.from_dict(preferences(1)[0]),
        principles=(verdict,),
        gold=(GoldMargin(id="a", margin=0.5),),
        rationale="because",
    )
    types = own_types("preferences")
    assert list(types) == list(full.to_dict())
    for name, value in full.to_dict().items():
        assert pa.array([value]).type == types[name], name


def test_every_known_column_of_the_exports_has_a_type(tmp_path):
    write_lines(tmp_path / "preferences.jsonl", preferences(3))
    for name in ("sft", "unpaired", "rankings"):
        write_export(name, tmp_path)
        record = json.loads((tmp_path / f"{name}.jsonl").read_text().splitlines()[0])
        assert list(record) == list(columns(RECORDS[name])) == list(own_types(name))
        for column, value in record.items():
            assert pa.array([value]).type == own_types(name)[column]
    assert "responses" not in own_types("revisions")  # whatever the source says of a response rides along in it


def test_a_failure_names_a_critic_only_where_there_are_several():
    alone = FailureRecord(row=1, reason="refused")
    assert list(alone.to_dict()) == ["row", "id", "principle", "pair", "reason", "detail"]
    assert list(replace(alone, critic="x").to_dict())[-1] == "critic"


def test_a_record_decides_by_the_number_that_its_file_shows():
    record = pair_record(1, 0.50000001)
    assert (record.p_chosen, record.margin) == (0.5, 0.0)


@pytest.mark.parametrize("name", ["overall", "principles", "polite"])
def test_no_principle_is_taken_for_the_whole(name):
    gold = (GoldMargin(id=beside_overall(name), margin=-0.5), GoldMargin(id="overall", margin=1.0))
    record = pair_record(1, 0.7, gold=gold)
    again = PreferenceRecord.from_dict(json.loads(json.dumps(record.to_dict())))
    for each in (record, again):
        assert each.gold_margin == 1.0 and each.gold_margins == {name: -0.5}
    assert replace(record, gold=gold[:1]).gold_margin is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "2: not valid JSON"),
        ("[]", "2: must be an object"),
        ('{"id": "1:0"}', "2: prompt: missing"),
        ('{"id": "1:0", "prompt": [], "responses": [], "rounds": [{}]}', "2: rounds: principle: missing"),
    ],
)
def test_a_line_that_is_no_record_is_named(tmp_path, line, message):
    path = tmp_path / "revisions.jsonl"
    path.write_text('{"id": "0:0", "prompt": [], "responses": [], "rounds": []}\n' + line + "\n")
    records = read_records(path, RevisionRecord)
    assert next(records).rounds == ()
    with pytest.raises(UsageError, match=f"revisions.jsonl:{message}"):
        next(records)


def test_a_file_that_is_not_there_has_no_records(tmp_path):
    assert list(read_records(tmp_path / "scores.jsonl", RECORDS["scores"])) == []
