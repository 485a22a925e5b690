import pytest

from rlaif.constitution.load import load_constitution
from rlaif.constitution.types import Constitution
from rlaif.errors import UsageError
from rlaif.shipped import constitution_path, shipped_constitutions, shipped_folder

OWN = "name: mine\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n"


@pytest.mark.parametrize("name", shipped_constitutions())
def test_each_shipped_constitution_loads_by_its_name_from_anywhere(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    by_path = load_constitution(shipped_folder("constitutions") / f"{name}.yaml")
    assert by_path.name == name
    assert Constitution.load(name) == load_constitution(f"{name}.yaml") == by_path


def test_a_file_of_the_name_wins(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("concise", "concise.yaml"):
        (tmp_path / name).write_text(OWN)
        assert load_constitution(name).name == "mine"
        (tmp_path / name).unlink()
    (tmp_path / "concise").mkdir()  # a folder is no constitution
    assert load_constitution("concise").name == "concise"


@pytest.mark.parametrize("base", ["concise", "concise.yaml"])
def test_a_constitution_extends_a_shipped_one_by_name(base, tmp_path):
    (tmp_path / "c.yaml").write_text(OWN.replace("version: 1", f"version: 1\nextends: {base}"))
    merged = load_constitution(tmp_path / "c.yaml")
    assert [principle.id for principle in merged.principles] == [
        *(principle.id for principle in load_constitution("concise").principles),
        "kind",
    ]


def test_a_constitution_of_a_shipped_ones_name_may_extend_it(tmp_path):
    (tmp_path / "concise.yaml").write_text(OWN.replace("version: 1", "version: 1\nextends: concise"))
    assert "kind" in [principle.id for principle in load_constitution(tmp_path / "concise.yaml").principles]


@pytest.mark.parametrize("named", ["sub/concise", "./concise", "../concise.yaml", "concise.json", "a\0b"])
def test_only_a_bare_name_is_a_shipped_ones(named, tmp_path):
    assert constitution_path(named, tmp_path).parent != shipped_folder("constitutions")


def test_a_name_that_is_none_is_told_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=r"no such file, and no shipped constitution \(.*concise.*did you mean concise\?"):
        load_constitution("concize")
    (tmp_path / "c.yaml").write_text(OWN.replace("version: 1", "version: 1\nextends: concize"))
    with pytest.raises(UsageError, match=r"c.yaml:3:\d+: extends.*did you mean concise\?"):
        load_constitution(tmp_path / "c.yaml")
