import errno
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rlaif.data import parquet as module
from rlaif.data.write import JsonlWriter, atomic_write, dumps, write_parquet
from rlaif.errors import RunFailed
from tests.reference.fake_run import preferences, write_lines

numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=5)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def test_an_atomic_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_write(path) as file:
        file.write("first")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write("second")
        raise RuntimeError
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_the_dead_are_swept_and_of_the_living_kept(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead, living = (tmp_path / f".file.{pid}.tmp" for pid in (gone.pid, os.getppid()))
    dead.touch()
    living.touch()
    with atomic_write(tmp_path / "file") as file:
        file.write("x")
    assert not dead.exists() and living.exists()


def test_records_appear_when_all_are_written(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with JsonlWriter(path, sync_every=2) as writer:
        for number in range(3):
            writer.write({"z": number, "a": 0.1, "text": "é\u2028"})
            assert not path.exists()
        assert writer.part.read_text(encoding="utf-8").count("\n") == 2
    assert path.read_text(encoding="utf-8").split("\n")[0] == '{"z": 0, "a": 0.1, "text": "é\u2028"}'
    assert not writer.part.exists() and writer.written == 3


def test_an_error_leaves_the_old_file_and_the_new_part(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text("old\n")
    with pytest.raises(RuntimeError), JsonlWriter(path) as writer:
        writer.write({"a": 1})
        raise RuntimeError
    assert path.read_text() == "old\n"
    assert writer.part.read_text() == '{"a": 1}\n'
    with JsonlWriter(path):
        pass
    assert path.read_text() == ""


def test_text_that_no_file_can_hold_is_replaced_and_numbers_that_no_json_can_hold_are_refused() -> None:
    assert json.loads(dumps({"a": "x\ud800y"})) == {"a": "x\ufffdy"}
    assert json.loads(dumps("\ud83d\ude00")) == "😀"
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps(float("nan"))


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


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_disk_that_takes_no_more_is_told_with_the_file_and_a_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "records.jsonl").write_text("old\n")
    monkeypatch.setattr(os, "fsync", refused)
    says = rf"records\.jsonl\.part: {os.strerror(number)}; \w+ "
    with pytest.raises(RunFailed, match=says), JsonlWriter(tmp_path / "records.jsonl", sync_every=1) as writer:
        writer.write({"a": 1})
    with pytest.raises(RunFailed, match=rf"file: {os.strerror(number)}; \w+ "), atomic_write(tmp_path / "file"):
        pass
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"records.jsonl": "old\n"}


def test_no_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    for name in ("records.jsonl.part", "records.jsonl", f".file.{os.getpid()}.tmp", "file"):
        (tmp_path / name).symlink_to("outside")
    with JsonlWriter(tmp_path / "records.jsonl") as writer, atomic_write(tmp_path / "file") as file:
        writer.write({"a": 1})
        file.write("new")
    assert (tmp_path / "outside").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "new" and not (tmp_path / "file").is_symlink()


def test_control_characters_are_escaped_and_read_as_they_were() -> None:
    text = "\x1b\x85\x9b\u202e\u2066é\u2028😀"
    line = dumps({"a": text})
    assert json.loads(line) == {"a": text}
    assert not set(line) & set("\x1b\x85\x9b\u202e\u2066")
