"""Rows from object storage and runs into it: in memory, and against a server that speaks S3 where its packages are."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import time
from urllib.request import urlopen

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlaif.data.inputs import stamp
from rlaif.data.read import count_rows, read_rows
from rlaif.data.storage import check_target, copy_to, is_url, remote
from rlaif.errors import RunFailed, UsageError
from rlaif.label.config import LabelConfig
from rlaif.label.plan import dry_run
from rlaif.label.run import run_label
from rlaif.settings import configure

ROWS = [{"prompt": f"p{n}", "chosen": "yes", "rejected": "no"} for n in range(300)]


@pytest.fixture
def memory():
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()
    system.pseudo_dirs[:] = [""]


@pytest.fixture
def asked(tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}}]")
    (tmp_path / "c.yaml").write_text("{name: kindness, version: 1, principles: [{id: kind, text: The response is kind.}]}")

    def config(source, **more):
        given = {"critic": f"script:{tmp_path / 's.yaml'}", "constitution": tmp_path / "c.yaml", "store": tmp_path / "s.sqlite"}
        return configure(LabelConfig, source=source, out=tmp_path / "run", **given, **more)

    return config


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.json", "rows.csv", "rows.parquet"])
def test_every_format_reads_as_from_a_file(memory, tmp_path, name):
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / name)
    else:
        contents = {
            "rows.jsonl": lines(ROWS),
            "rows.jsonl.gz": gzip.compress(lines(ROWS)),
            "rows.json": json.dumps(ROWS).encode(),
        }
        table = "prompt,chosen,rejected\n" + "".join(",".join(row.values()) + "\n" for row in ROWS)
        (tmp_path / name).write_bytes(contents.get(name, table.encode()))
    memory.pipe_file(f"/bucket/{name}", (tmp_path / name).read_bytes())
    url = f"memory://bucket/{name}"
    assert list(read_rows(url)) == list(read_rows(str(tmp_path / name))) and len(list(read_rows(url, 7))) == 7
    assert count_rows(url) is None


def test_what_is_a_url():
    assert is_url("s3://bucket/rows") and is_url("gs://b/x.jsonl") and is_url("hf://datasets/owner/name/rows.jsonl")
    assert not any(
        map(is_url, ("rows.jsonl", "owner/name", "hf://datasets/owner/name:train", "hf://datasets/owner/name/config"))
    )


def test_another_content_has_another_stamp(memory):
    memory.pipe_file("/b/r.jsonl", lines(ROWS))
    first = stamp("memory://b/r.jsonl")
    assert first == stamp("memory://b/r.jsonl")
    memory.pipe_file("/b/r.jsonl", lines(ROWS[:-1]))
    assert stamp("memory://b/r.jsonl") != first


def test_a_run_goes_from_storage_to_storage_and_is_a_source_there(memory, asked, tmp_path):
    memory.pipe_file("/b/r.jsonl", lines(ROWS))
    assert dry_run(asked("memory://b/r.jsonl")).questions == 600
    run = run_label(asked("memory://b/r.jsonl", limit=20, copy_to="memory://b/runs/one"))
    assert run["counts"]["rows_in"] == 20
    for path in (tmp_path / "run").iterdir():
        there = memory.exists(f"/b/runs/one/{path.name}")
        assert there is not path.name.startswith("."), path
        assert not there or memory.cat_file(f"/b/runs/one/{path.name}") == path.read_bytes()
    assert len(list(read_rows("memory://b/runs/one"))) == 20
    again = run_label(asked("memory://b/r.jsonl", limit=20, copy_to="memory://b/runs/one"))
    assert again["counts"]["asked"] == 0


def test_rows_that_cannot_be_fetched_end_the_run_and_are_no_bad_rows(memory, monkeypatch):
    big = [{**row, "prompt": "p" * 20_000} for row in ROWS]  # more than is read at once
    memory.pipe_file("/b/r.jsonl", lines(big))
    rows = read_rows("memory://b/r.jsonl")
    next(rows)
    monkeypatch.setattr(type(memory.store["/b/r.jsonl"]), "read", lambda *_: (_ for _ in ()).throw(OSError("reset")))
    with pytest.raises(RunFailed, match=r"r.jsonl cannot be read any more \(reset\)"):
        list(rows)


def test_what_is_not_there_is_said_at_once(memory, asked, tmp_path):
    with pytest.raises(UsageError, match=r"memory://b/none\.jsonl: no such file"):
        remote("memory://b/none.jsonl")
    with pytest.raises(UsageError, match="Protocol not known"):
        next(read_rows("nowhere://b/r.jsonl"))
    for wrong in ("bucket/folder", "nowhere://b"):
        with pytest.raises(UsageError, match=wrong):
            run_label(asked(str(tmp_path / "none.jsonl"), copy_to=wrong))
    check_target("memory://b/not/there/yet")


def test_what_is_no_result_stays_here(memory, tmp_path):
    for name in ("a.txt", "deep/b.txt", "rows.jsonl.part", ".lock", ".hidden/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    copy_to("memory://b/only", tmp_path)
    assert sorted(memory.find("/b/only")) == ["/b/only/a.txt", "/b/only/deep/b.txt"]


def test_storage_that_takes_nothing_loses_nothing(memory, tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("x")
    monkeypatch.setattr(type(memory), "put_file", lambda *_: (_ for _ in ()).throw(PermissionError("no")))
    with pytest.raises(RunFailed, match=r"--copy-to memory://b/r: the storage did not take the files \(no\); all is written"):
        copy_to("memory://b/r", tmp_path)


def test_a_server_that_speaks_s3(asked, tmp_path, monkeypatch):
    pytest.importorskip("s3fs", reason="s3fs and moto are not installed: make test-integrations")
    pytest.importorskip("moto", reason="s3fs and moto are not installed: make test-integrations")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    for name, value in {"ACCESS_KEY_ID": "one", "SECRET_ACCESS_KEY": "two", "ENDPOINT_URL": url, "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL, env=os.environ)
    try:
        for _ in range(300):
            try:
                urlopen(url).close()
                break
            except OSError:
                time.sleep(0.1)
        fsspec.filesystem("s3").mkdir("bucket")
        with pytest.raises(UsageError, match=r"s3://bucket/rows\.jsonl: no such file"):
            run_label(asked("s3://bucket/rows.jsonl"))
        fsspec.filesystem("s3").pipe_file("bucket/rows.jsonl", lines(ROWS))
        run = run_label(asked("s3://bucket/rows.jsonl", copy_to="s3://bucket/runs/one"))
        assert run["counts"]["rows_in"] == run["counts"]["rows_out"] == 300
        assert len(list(read_rows("s3://bucket/runs/one"))) == 300
        written = {path.name for path in (tmp_path / "run").iterdir() if not path.name.startswith(".")}
        assert {name.rpartition("/")[2] for name in fsspec.filesystem("s3").ls("bucket/runs/one", refresh=True)} == written
        first = stamp("s3://bucket/rows.jsonl")
        fsspec.filesystem("s3").pipe_file("bucket/rows.jsonl", lines(ROWS[:-1]))
        assert stamp("s3://bucket/rows.jsonl") != first
    finally:
        server.kill()
        server.wait()
