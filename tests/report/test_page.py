import json
import re
from pathlib import Path

import pytest

from rlaif.errors import UsageError
from rlaif.report.page import page, write_report
from tests.reference.fake_run import HOSTILE, preferences, turn, write_lines, write_run
from tests.reference.fake_training import write_training
from tests.reference.report_page import Page


@pytest.fixture
def hostile_run(tmp_path: Path) -> Path:
    """A run in which every text that an outsider could have written attacks the page."""
    records = preferences(40)
    for record in records[:5]:
        record |= {name: [turn("assistant", HOSTILE)] for name in ("prompt", "chosen", "rejected")}
        record |= {"id": HOSTILE, "rationale": HOSTILE}
        record["principles"][0]["id"] = HOSTILE
    constitution = {"name": HOSTILE, "digest": HOSTILE, "description": HOSTILE}
    return write_run(tmp_path / "run", records, constitution=constitution, critic=HOSTILE, command=HOSTILE, notes=[HOSTILE])


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def test_hostile_text_is_inert(hostile_run: Path, tmp_path: Path) -> None:
    found = read(write_report(hostile_run))
    harmless = read(write_report(write_run(tmp_path / "other", preferences(40))))
    assert len(found.scripts) == 1 and found.scripts == harmless.scripts
    assert found.tags.keys() == harmless.tags.keys() and found.tags["img"] == 0
    assert not [item for item in found.attributes if item[1].startswith("on")]
    assert found.text(found.blocks["chosen"][0]) == [[["assistant", HOSTILE]]]
    assert found.text(found.blocks["rationale"][0] - 1) == [[["critic", HOSTILE]]]
    assert "{{ 7*7 }}" in found.blocks["ids"][0] and found.blocks["pairs"]["principles"][0] == HOSTILE


def test_hostile_text_of_a_training_run_is_inert(tmp_path: Path) -> None:
    found = read(write_report(write_training(tmp_path / "run", text=HOSTILE)))
    harmless = read(write_report(write_training(tmp_path / "other", text="harmless")))
    assert found.scripts == harmless.scripts and found.tags == harmless.tags and found.tags["img"] == 0
    assert found.blocks["training"]["samples"][0]["prompt"] == [["user", HOSTILE]]


def test_one_file_that_asks_for_nothing(hostile_run: Path) -> None:
    found = read(write_report(hostile_run))
    assert not found.tags.keys() & {"link", "iframe", "object", "embed", "img", "base"}
    for tag, name, value in found.attributes:
        assert name != "src" and (name not in ("href", "xlink:href") or value.startswith("#")), (tag, name, value)


def test_a_long_run_is_sampled_and_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path, preferences(60))
    text = write_report(folder, max_pairs=25).read_text(encoding="utf-8")
    assert "A random sample of 25 of 60 pairs" in text
    assert len(Page(text).blocks["ids"]) == 25
    assert "random sample" not in write_report(folder).read_text(encoding="utf-8")


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path, preferences(30))
    assert write_report(folder).read_bytes() == write_report(folder, out=tmp_path / "sub" / "again.html").read_bytes()


def test_a_page_takes_no_file_that_is_not_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [write_run(tmp_path / name, preferences(5)) for name in "ab"]
    (tmp_path / "mine.html").write_text("mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no report"):
        write_report(folders[0], out=tmp_path / "mine.html")
    with pytest.raises(UsageError, match="would replace the input"):
        write_report(folders[0], out=folders[0] / "preferences.jsonl", overwrite=True)
    with pytest.raises(UsageError, match="would replace the input"):
        write_report(folders, out=folders[1] / "run.json")
    assert write_report(folders) == write_report(folders) == Path("report.html")
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(UsageError, match="no report"):
        write_report(folders)


def test_runs_of_different_kinds_are_not_laid_side_by_side(tmp_path: Path) -> None:
    folders = [write_run(tmp_path / "a", preferences(5)), write_training(tmp_path / "b")]
    with pytest.raises(UsageError, match="runs of one kind"):
        page(folders)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        page([tmp_path])
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match="cannot be read"):
        page([tmp_path])


def test_a_run_of_another_kind_says_where_its_page_is(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"kind": "compare", "status": "finished"}))
    with pytest.raises(UsageError, match="a run of rlaif compare has no report; give"):
        page([tmp_path])
    (tmp_path / "README.md").touch()
    with pytest.raises(UsageError, match=r"README\.md in it is its page"):
        page([tmp_path])


def test_a_label_run_that_goes_on_is_shown_live_and_refused_as_a_report(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"kind": "label", "status": "running", "critic": HOSTILE}))
    counts = [{"seconds": 1.5, "verdicts": 10, "failed": 1}, {"seconds": 3.0, "verdicts": 20, "failed": 1}]
    write_lines(tmp_path / "metrics.jsonl.part", counts)
    found = Page(page([tmp_path], live=True))
    (panel, *_) = found.blocks["training"]["panels"]
    assert "The run goes on" in page([tmp_path], live=True)
    assert panel["series"][0]["y"] == [10, 20] and panel["x"] == "seconds" and found.tags["img"] == 0
    with pytest.raises(UsageError, match="has not finished"):
        page([tmp_path])


def test_every_data_cell_of_a_table_stands_under_a_heading(tmp_path: Path) -> None:
    text = write_report(write_run(tmp_path, preferences(40))).read_text(encoding="utf-8")
    for table in re.findall("<table.*?</table>", text, re.DOTALL):
        headings, rows = table.count('scope="col"'), table.count("<tr>")
        assert headings > 1 and rows > 1
