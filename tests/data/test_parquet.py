import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.data import parquet as module
from rlaif.data.parquet import write_parquet
from tests.reference.fake_run import preferences, write_lines

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=5)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["x", "y"]), values), min_size=1, max_size=8))
def test_parquet_holds_every_record_whatever_its_types(records: list[dict[str, Any]]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BATCH", 3)
        folder = Path(name)
        write_lines(folder / "x.jsonl", [{"n": n, **record} for n, record in enumerate(records)])
        write_parquet(folder / "x.jsonl", folder / "x.parquet")
        held = pq.read_table(folder / "x.parquet").to_pylist()
    assert [row["n"] for row in held] == list(range(len(records)))
    for row, record in zip(held, records, strict=True):
        for key, value in record.items():
            assert same(row[key], value) or (isinstance(row[key], str) and json.loads(row[key]) == value)


def same(held: Any, given: Any) -> bool:
    """Equal, but for keys that Parquet adds with null and whole numbers that it holds as floats."""
    if isinstance(given, dict):
        return isinstance(held, dict) and all(same(held[key], given.get(key)) for key in held) and given.keys() <= held.keys()
    if isinstance(given, list):
        return isinstance(held, list) and len(held) == len(given) and all(map(same, held, given))
    return bool(held == given)


def test_columns_that_conflict_become_json_text(tmp_path: Path) -> None:
    records = [
        {"tag": "a", "size": 1, "meta": {}},
        {"tag": 3, "size": 2.5, "meta": {}},
        {"tag": None, "size": 2**60 + 1, "meta": {}},
    ]
    write_lines(tmp_path / "x.jsonl", records)
    write_parquet(tmp_path / "x.jsonl", tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet").to_pydict()
    assert table["tag"] == ['"a"', "3", None]
    assert [json.loads(text) for text in table["size"]] == [1, 2.5, 2**60 + 1]
    assert table["meta"] == ["{}"] * 3


def test_a_column_with_keys_of_its_own_in_every_record_becomes_json_text(tmp_path: Path) -> None:
    write_lines(tmp_path / "x.jsonl", [{"scores": {f"k{n}": n}} for n in range(400)])
    write_parquet(tmp_path / "x.jsonl", tmp_path / "x.parquet")
    assert pq.read_table(tmp_path / "x.parquet").to_pydict()["scores"][7] == '{"k7": 7}'


@pytest.mark.parametrize("n", [0, 3])
def test_our_columns_keep_their_types(tmp_path: Path, n: int) -> None:
    write_lines(tmp_path / "preferences.jsonl", preferences(n))
    write_parquet(tmp_path / "preferences.jsonl", tmp_path / "preferences.parquet")
    schema = pq.read_schema(tmp_path / "preferences.parquet")
    assert str(schema.field("rationale").type) == "string"
    assert str(schema.field("chosen").type) == "list<element: struct<role: string, content: string>>"


def test_datasets_reads_both_files_alike(tmp_path: Path) -> None:
    records = preferences(20)
    write_lines(tmp_path / "preferences.jsonl", records)
    write_parquet(tmp_path / "preferences.jsonl", tmp_path / "preferences.parquet")
    for kind, name in (("json", "preferences.jsonl"), ("parquet", "preferences.parquet")):
        held = datasets.load_dataset(kind, data_files=str(tmp_path / name), split="train", cache_dir=str(tmp_path / kind))
        assert held.to_list() == records


def test_values_that_fit_batch_by_batch_and_not_together_become_json_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 1)
    write_lines(tmp_path / "x.jsonl", [{"size": 2**60 + 1}, {"size": 0.5}])
    write_parquet(tmp_path / "x.jsonl", tmp_path / "x.parquet")
    assert pq.read_table(tmp_path / "x.parquet").to_pydict() == {"size": [str(2**60 + 1), "0.5"]}


@pytest.mark.parametrize(
    "later",
    [{"size": 2.5}, {"size": None}, {"size": 1, "note": "new"}, {"size": 1, "meta": {"a": 1, "b": 2}}, {"size": "large"}],
    ids=["wider", "missing", "a new column", "a new key", "text"],
)
def test_what_a_later_record_holds_is_held_as_if_it_had_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: dict[str, Any]
) -> None:
    records = [{"size": number, "meta": {"a": number}} for number in range(7)]
    write_lines(tmp_path / "x.jsonl", [*records, later])
    write_parquet(tmp_path / "x.jsonl", tmp_path / "one.parquet")
    monkeypatch.setattr(module, "_BATCH", 2)
    write_parquet(tmp_path / "x.jsonl", tmp_path / "many.parquet")
    assert pq.read_schema(tmp_path / "many.parquet") == pq.read_schema(tmp_path / "one.parquet")
    assert pq.read_table(tmp_path / "many.parquet") == pq.read_table(tmp_path / "one.parquet")
