"""What a command reads is not in what it writes, and a source that changes is noticed."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rlaif.data.inputs import refuse_inputs, stamp, unchanged
from rlaif.errors import RunFailed, UsageError


@dataclass
class Inner:
    file: str = ""


@dataclass
class Config:
    source: str = ""
    out: Path = Path("run")
    inner: Inner = field(default_factory=Inner)
    jury: tuple[str, ...] = ()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run" / "model").mkdir(parents=True)
    for name in ("run/rows.jsonl", "run/model/config.json", "rows.jsonl", "critic.py", "run/critic.py"):
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "link").symlink_to("run/rows.jsonl")
    (tmp_path / "run" / "outside").symlink_to("../rows.jsonl")
    (tmp_path / "way").symlink_to("run")
    return tmp_path


@pytest.mark.parametrize(
    "config",
    [
        Config("run/rows.jsonl"),
        Config("./run/../run/rows.jsonl"),
        Config("link"),
        Config("way/rows.jsonl"),
        Config("run/outside"),
        Config("run"),
        Config(inner=Inner("run/model")),
        Config(jury=("lab", "script:run/critic.py")),
        Config(inner=Inner("run/critic.py:reward")),
        {"rewards": [{"options": {"table": "run/rows.jsonl"}}]},
        "run/rows.jsonl,other",
    ],
)
def test_an_input_inside_the_output_folder_is_refused(folder, config):
    for out in (Path("run"), folder / "run", Path("way")):
        with pytest.raises(UsageError, match="would be lost; give another --out"):
            refuse_inputs(config, out)


@pytest.mark.parametrize(
    "config", [Config("rows.jsonl"), Config("http://a:1"), Config("x\0y"), Config("z" * 9999), Config("lab")]
)
def test_other_inputs_are_not(folder, config):
    refuse_inputs(config, Path("run"))
    refuse_inputs(config, Path("run"), [Path("run/other.jsonl")])


@pytest.mark.parametrize("name", ["rows.jsonl", "./run/../rows.jsonl", "run/outside"])
def test_an_input_that_is_an_output_is_refused(folder, name):
    with pytest.raises(UsageError, match="would replace the input"):
        refuse_inputs(Config(name), files=[Path("new"), Path("rows.jsonl")])


@pytest.mark.parametrize(
    "change", [lambda path: path.write_text("a\n"), lambda path: path.write_text("a\nb\nc\n"), Path.unlink]
)
def test_a_source_that_changes_while_it_is_read_is_noticed(tmp_path, change):
    path = tmp_path / "rows.jsonl"
    path.write_text("a\nb\n")
    content = stamp(str(path))
    assert list(unchanged(iter("ab"), str(path), content)) == ["a", "b"]
    path.touch()
    assert stamp(str(path)) == content
    rows = unchanged(iter("ab"), str(path), content)
    next(rows)
    change(path)
    with pytest.raises(RunFailed, match="changed while it was read"):
        list(rows)


def test_a_folder_is_known_by_its_rows_and_a_name_on_the_hub_by_nothing(tmp_path):
    (tmp_path / "preferences.jsonl").write_text("a\n")
    content = stamp(str(tmp_path))
    (tmp_path / "metrics.jsonl").write_text("later\n")
    (tmp_path / "report.html").touch()
    assert stamp(str(tmp_path)) == content
    (tmp_path / "preferences.jsonl").write_text("b\n")
    assert stamp(str(tmp_path)) != content
    assert stamp("owner/name:train") is None


def test_what_people_add_to_a_runs_folder_changes_none_of_its_rows(tmp_path):
    (tmp_path / "preferences.jsonl").write_text("{}\n")
    before = stamp(str(tmp_path))
    for name in ("annotations.jsonl", "annotations-gold.jsonl", "metrics.jsonl"):
        (tmp_path / name).write_text("{}\n")
    assert stamp(str(tmp_path)) == before
    (tmp_path / "scores.jsonl").write_text("{}\n")
    assert stamp(str(tmp_path)) != before
