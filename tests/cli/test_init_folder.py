import json

from rlaif.constitution.load import load_constitution
from rlaif.critic.templates import load_template
from rlaif.shipped import shipped_constitutions, shipped_folder


def test_copies_can_be_edited_and_label_at_once(rlaif, tmp_path):
    code, out, _ = rlaif("init")
    assert code == 0 and "wrote config.yaml" in out and "rlaif label rows.jsonl --config config.yaml" in out
    for name, path in shipped_constitutions().items():
        assert load_constitution(tmp_path / "constitutions" / f"{name}.yaml") == load_constitution(path)
        assert "$schema=schema.json" in (tmp_path / "constitutions" / f"{name}.yaml").read_text()
    json.loads((tmp_path / "constitutions" / "schema.json").read_text())
    shipped = list(shipped_folder("prompts").glob("*.yaml"))
    assert shipped and all((tmp_path / "prompts" / path.name).read_bytes() == path.read_bytes() for path in shipped)
    assert load_template("compare", tmp_path / "prompts") == load_template("compare")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "hi", "responses": ["a", "b"]}\n')
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.7, B: 0.2}}]")
    code, out, _ = rlaif("label", "rows.jsonl", "--config", "config.yaml", "--critic", "script:s.yaml")
    assert code == 0 and "1 preferences out" in out
    assert json.loads((tmp_path / "runs/first/run.json").read_text())["config"]["prompts"] == "prompts"


def test_it_replaces_nothing(rlaif, tmp_path):
    (tmp_path / "new" / "prompts").mkdir(parents=True)
    (tmp_path / "new" / "prompts" / "score.yaml").write_text("mine")
    code, _, err = rlaif("init", "new")
    assert code == 2 and "score.yaml: is there already, so nothing was written" in err
    assert [path.name for path in (tmp_path / "new").rglob("*") if path.is_file()] == ["score.yaml"]


def test_shipped_constitutions_are_listed_by_name(rlaif):
    code, out, _ = rlaif("constitution", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(shipped_constitutions())
    code, out, _ = rlaif("constitution", "check", "concise")
    assert code == 0 and "concise: ok" in out
    assert rlaif("constitution", "show", "concise")[0] == 0
    before = shipped_constitutions()["concise"].read_bytes()
    code, _, err = rlaif("constitution", "fit", "concise", "--run", "nowhere")
    assert code == 2 and "rlaif init makes a copy" in err
    assert shipped_constitutions()["concise"].read_bytes() == before


def test_the_version_is_said(rlaif):
    from rlaif import __version__

    assert rlaif("--version") == (0, f"rlaif {__version__}\n", "")
