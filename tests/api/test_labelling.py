import asyncio
import inspect
import json
from pathlib import Path

import datasets
import pytest

import rlaif
from rlaif.config_file import read_config
from rlaif.label.config import LabelConfig
from rlaif.settings import configure

ROWS = [
    {"prompt": "hi", "responses": ["a", "b"], "tags": ["x"]},
    {"prompt": "ho", "responses": ["refuse", "d"]},
    {"prompt": "alone", "responses": ["a"]},
]
SCRIPT = 'rules: [{when: "refuse", fail: refused}, {choose: {A: 0.7, B: 0.2}}]'
CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n"


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("c.yaml").write_text(CONSTITUTION)
    Path("s.yaml").write_text(SCRIPT)
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return {"constitution": "c.yaml", "critic": "script:s.yaml", "max_failure_rate": 1.0}


def content(preferences):
    return [{**record, "prompt": list(record["prompt"])} for record in preferences]


def test_rows_from_everywhere_give_the_same_preferences_and_the_runs_facts(given):
    found = rlaif.label("rows.jsonl", **given)
    for rows in (Path("rows.jsonl"), ROWS, iter(ROWS), datasets.Dataset.from_list(ROWS)):
        assert content(rlaif.label(rows, **given)) == content(found)
    assert isinstance(found, datasets.Dataset)
    assert found.run["counts"]["rows_in"] == 3 and found.run["counts"]["rows_out"] == len(found) == 1
    assert {failure.reason for failure in found.failures} == {"refused", "bad_row"}
    assert found.scores is None
    assert found.map(lambda record: {"sure": record["margin"] > 0}).column_names[-1] == "sure"


def test_nothing_is_kept_but_the_answers_where_no_folder_is_named(given):
    rlaif.label(ROWS, **given)
    assert sorted(path.name for path in Path().iterdir()) == ["c.yaml", "rows.jsonl", "runs", "s.yaml"]
    assert [path.name for path in Path("runs").iterdir()] == ["verdicts.sqlite"]
    assert rlaif.label(ROWS, **given).run["counts"]["asked"] == 0


def test_a_run_in_a_folder_is_continued_and_can_be_repeated_by_the_command(given, rlaif_command):
    first = rlaif.label(ROWS, out="runs/first", **given)
    again = rlaif.label(ROWS, out=Path("runs/first"), **given)
    assert content(again) == content(first)
    (rows,) = Path("runs").glob("first-*.jsonl")
    assert [json.loads(line) for line in rows.read_text().splitlines()] == ROWS
    code, out, _ = rlaif_command("label", "--config", "runs/first/config.yaml")
    assert code == 0 and "3 rows in, 1 preferences out" in out
    assert read_config(Path("runs/first/config.yaml"), LabelConfig)["critic"] == ("script:s.yaml",)


def test_other_rows_for_a_finished_run_are_refused_and_lose_nothing(given):
    rlaif.label(ROWS, out="runs/first", **given)
    before = Path("runs/first/preferences.jsonl").read_bytes()
    with pytest.raises(rlaif.UsageError, match="--overwrite"):
        rlaif.label(ROWS[:1], out="runs/first", **given)
    assert Path("runs/first/preferences.jsonl").read_bytes() == before
    assert len(list(Path("runs").glob("first-*.jsonl"))) == 2


def test_constitutions_by_path_name_and_object_are_the_same(given):
    loaded = rlaif.Constitution.load("concise")
    made = rlaif.Constitution(loaded.name, loaded.version, loaded.principles, loaded.description, loaded.aggregate)
    digests = {
        rlaif.label(ROWS, **{**given, "constitution": each}).run["constitution"]["digest"]
        for each in ("concise", loaded.sources[0], loaded, made)
    }
    assert digests == {loaded.digest}


def test_a_changed_constitution_is_not_taken_for_the_file_it_came_from(given):
    loaded = rlaif.Constitution.load("c.yaml")
    Path("c.yaml").write_text(CONSTITUTION.replace("kind.", "calm."))
    assert rlaif.label(ROWS, **{**given, "constitution": loaded}).run["constitution"]["digest"] == loaded.digest


def test_scores_come_beside_the_preferences(given):
    Path("s.yaml").write_text('rules: [{when: "refuse", fail: refused}, {choose: {"9": 0.9}}]')
    found = rlaif.label(ROWS, mode="score", **given)
    assert found.scores["score"] == [1.0] * 4
    assert len(found) == 1


def test_in_a_running_loop_as_in_a_notebook(given):
    async def cell():
        return rlaif.label(ROWS, **given)

    assert content(asyncio.run(cell())) == content(rlaif.label(ROWS, **given))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([1], "row 1 is no dict"),
        ({"prompt": "a"}, "a list of dicts, found dict"),
        (7, "found int"),
        ([{"prompt": "\ud800"}], "row 1: prompt"),
        ("nowhere.jsonl", "nowhere.jsonl: no such file"),
        ([], "the file is empty"),
    ],
)
def test_what_is_no_rows_is_said(rows, message, given):
    with pytest.raises(rlaif.UsageError, match=message):
        rlaif.label(rows, **given)


def test_settings_are_those_of_the_command(given):
    with pytest.raises(rlaif.UsageError, match=r"--max-tokns: no such setting; did you mean max_tokens\?"):
        rlaif.label(ROWS, max_tokns=3, **given)
    assert configure(LabelConfig, source="x", constitution="c", critic="lab", out="o").critic.constitution == Path("c")
    assert {"rows", "constitution", "critic", "out"} <= inspect.signature(rlaif.label).parameters.keys()
