import csv
import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlaif.data import formats
from rlaif.data.read import count_rows, named_columns, read_rows
from rlaif.data.rows import BadRow, Row
from rlaif.errors import UsageError

ROWS: list[dict[str, Any]] = [
    {"id": "a", "prompt": 'one\n"two", {three}', "responses": ["é", "第二\u2028x"], "tag": "t"},
    {"id": "b", "prompt": "q", "responses": ["", "long " * 50], "tag": "[u]"},
]


def as_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8", newline="")


def as_array(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")


def as_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "responses": json.dumps(row["responses"])} for row in rows)


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1)


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "rows.jsonl": as_jsonl,
    "rows.json": as_array,
    "rows.csv": as_csv,
    "rows.parquet": as_parquet,
    "misnamed.json": as_jsonl,
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_every_format_holds_the_same_rows(tmp_path: Path, name: str, zipped: bool) -> None:
    path = tmp_path / name
    WRITERS[name](path, ROWS)
    if zipped:
        path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    rows = list(read_rows(str(path)))
    assert [row.id for row in rows if isinstance(row, Row)] == ["a", "b"]
    for row, source in zip(rows, ROWS, strict=True):
        assert isinstance(row, Row)
        assert row.conversation[0]["content"] == source["prompt"]
        assert [response.turns[0]["content"] for response in row.responses] == source["responses"]
        assert row.extra == {"tag": source["tag"]}
    assert count_rows(str(path)) == 2
    assert len(list(read_rows(str(path), limit=1))) == 1


def test_a_gzipped_file_needs_no_telling_name(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    as_jsonl(path, ROWS)
    path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    assert len(list(read_rows(str(path)))) == 2


def test_message_lists_in_csv_cells(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "hi"}]
    path = tmp_path / "rows.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["prompt", "chosen", "rejected"])
        writer.writerow([json.dumps(turns), "[not json", "b"])
        writer.writerow([json.dumps(turns)[:-1], "a", "b"])
        writer.writerow(["q", "", "b"])
        writer.writerow(["q", "a"])
    first, broken, empty, short = read_rows(str(path))
    assert isinstance(first, Row) and first.conversation[0]["content"] == "hi"
    assert [bad.detail.split(":")[0] for bad in (broken, empty) if isinstance(bad, BadRow)] == ["prompt", "chosen"]
    assert isinstance(short, BadRow) and "2 cells where the header has 3" in short.detail


def test_bad_rows_are_passed_on_with_their_lines(tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"prompt": "q"}',
        b'{"prompt": "q"',
        b"",
        b'"text"',
        b'{"prompt": "\xff"}',
        b'{"prompt": "\\ud800"}',
        b'{"question": "q"}',
        b'{"prompt": "last"}',
    ]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(lines))
    rows = list(read_rows(str(path)))
    assert [row.number for row in rows] == [1, 2, 4, 5, 6, 7, 8]
    assert [row.number for row in rows if isinstance(row, Row)] == [1, 8]
    details = [row.detail for row in rows if isinstance(row, BadRow)]
    for detail, says in zip(
        details, ["not valid JSON", "found a text", "not valid UTF-8", "not valid UTF-8", "question"], strict=True
    ):
        assert says in detail


def test_a_line_without_end_costs_no_more_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "MAX_RECORD", 1000)
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "' + "x" * 5000 + '"}\n{"prompt": "b"}\n')
    rows = list(read_rows(str(path)))
    assert [(row.number, isinstance(row, Row)) for row in rows] == [(1, True), (2, False), (3, True)]


def test_a_broken_array_ends_with_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"prompt": "a"}, {"prompt": "b"}, {"prompt": oops}, {"prompt": "c"}]')
    rows = list(read_rows(str(path)))
    assert [isinstance(row, Row) for row in rows] == [True, True, False]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=9) | st.integers() | st.lists(st.floats(allow_nan=False)))),
    st.integers(0, 3),
)
def test_an_array_is_split_as_json_reads_it(records: list[dict[str, Any]], indent: int) -> None:
    import tempfile

    rows = [{**record, "prompt": "q"} for record in records] + [{"prompt": "end"}]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json"
        path.write_text(json.dumps(rows, indent=indent or None), encoding="utf-8")
        assert [record for _, record in formats.records(path)] == rows


@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows.csv"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = [{"id": str(n), "prompt": f"q{n} " + "x" * 1200, "responses": ["a", "b"]} for n in range(6_000)]
    WRITERS[name](path, rows)
    tracemalloc.start()
    held = sum(1 for _ in read_rows(str(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held == 6_000
    assert path.stat().st_size > 7_000_000
    assert peak < 2_000_000


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.csv", "rows.json"])
def test_a_gzip_cut_in_the_middle_keeps_what_came_before(tmp_path: Path, name: str) -> None:
    import random

    draw = random.Random(0)
    rows = [{"id": str(n), "prompt": draw.randbytes(60).hex(), "responses": ["a"]} for n in range(3000)]
    path = tmp_path / name
    WRITERS[name](path, rows)
    whole = gzip.compress(path.read_bytes(), mtime=0)
    path.write_bytes(whole[: len(whole) * 2 // 3])
    *read, last = read_rows(str(path))
    assert 1000 < len(read) < 2500 and all(isinstance(row, Row) for row in read)
    assert isinstance(last, BadRow) and last.number == len(read) + 1 and "broken from here on" in last.detail


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("rows.jsonl", b"", "the file is empty"),
        ("rows.jsonl", b" \n\n", "the file is empty"),
        ("rows.json", b"[]", "holds no rows"),
        ("rows.csv", b"prompt,chosen,rejected\n", "holds no rows"),
        ("rows.csv", b"question,answer\nq,a\n", "rename question to prompt"),
        ("rows.csv", b"prompt,prompt\nq,a\n", "two columns have the same name"),
        ("rows.parquet", b"PAR1 and no more", "not a readable Parquet file"),
        ("rows.parquet", b"nothing like it", "not a known format"),
        ("rows.txt", b"some text", "not a known format"),
        ("rows.bin", b"\x00\x01\x02", "not a known format"),
        ("rows.zip", b"PK\x03\x04...", "this is zip"),
        ("rows.jsonl.gz", gzip.compress(b'{"prompt": "q"}', mtime=0)[:8], "is the file complete"),
        ("rows.json", b'{\n "prompt": "q"\n}', "a single JSON object over many lines"),
        ("rows.jsonl", b"no\njson\nat all\n", "no usable row among the first 3; row 1: not valid JSON"),
        ("rows.jsonl", b'{"question": "q"}\n' * 30, "no usable row among the first 20; row 1: no accepted shape"),
    ],
)
def test_unusable_files_are_refused_before_the_first_row(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match=says) as error:
        read_rows(str(path))
    assert str(path) in str(error.value)


@pytest.mark.parametrize("source", ["missing.jsonl", "no/such/deep/name", "./relative", "with space", "rows.jsonl.gz"])
def test_missing_files_are_not_looked_up_as_datasets(source: str) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        read_rows(source)


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="neither a finished label run nor a saved dataset; name a file of rows"):
        read_rows(str(tmp_path))
    as_jsonl(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(UsageError, match=r"name one file: rows\.jsonl"):
        read_rows(str(tmp_path))
    turns = [{"role": "assistant", "content": "a"}]
    as_jsonl(tmp_path / "preferences.jsonl", [{"prompt": "q", "chosen": turns, "rejected": turns, "p_chosen": 0.7}])
    (row,) = read_rows(str(tmp_path))
    assert isinstance(row, Row) and row.extra == {"p_chosen": 0.7}
    assert count_rows(str(tmp_path)) == 1


def test_bytes_that_are_no_text_spoil_their_csv_row_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'prompt,chosen,rejected\nq,\xff,b\nq,"a"x,b\nq,a,b\n')
    rows = list(read_rows(str(path)))
    assert [isinstance(row, Row) for row in rows] == [False, False, True]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from(["x.jsonl", "x.json", "x.csv", "x.parquet", "x", "x.jsonl.gz"]), st.booleans())
def test_no_bytes_crash_the_reader(tmp_path: Path, content: bytes, name: str, zipped: bool) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(content, mtime=0)[: max(3, len(content))] if zipped else content)
    try:
        rows = list(read_rows(str(path)))
    except UsageError:
        return
    assert all(isinstance(row, Row | BadRow) for row in rows)
    count_rows(str(path))


def test_columns_of_other_names(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("ask,good,bad,prompt\nq,a,b,older\n")
    names = {"prompt": "ask", "chosen": "good", "rejected": "bad"}
    (row,) = read_rows(str(path), columns=names)
    assert isinstance(row, Row) and row.extra == {"row_prompt": "older"}
    assert [turn["content"] for turn in row.conversation] == ["q"]
    assert [response.turns[0]["content"] for response in row.responses] == ["a", "b"]
    with pytest.raises(UsageError, match=r"no column question .*found ask, good, bad, prompt"):
        read_rows(str(path), columns={"prompt": "question"})
    with pytest.raises(UsageError, match="--columns best=…: no such name; give prompt, "):
        read_rows(str(path), columns={"best": "good"})


def test_columns_are_named_on_the_command_line() -> None:
    assert named_columns("prompt=ask, chosen = good") == {"prompt": "ask", "chosen": "good"}
    assert named_columns(None) == named_columns("") == {}
    for wrong in ("prompt", "prompt=", "=ask", "prompt=a,prompt=b", "prompt=a,,chosen=b"):
        with pytest.raises(UsageError, match="--columns"):
            named_columns(wrong)
