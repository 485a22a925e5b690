"""A dry run names the rows that a run could not read, or only shortened."""

import json

import pytest

from rlaif.errors import UsageError
from rlaif.label.config import LabelConfig
from rlaif.label.plan import dry_run
from rlaif.label.run import run_label
from rlaif.settings import configure
from tests.tiny import save_model

CONSTITUTION = "name: t\nversion: 1\nprinciples:\n  - {id: kind, text: The response is kind.}\n  - {id: short, text: Short.}\n"
LONG = "hello world " * 1600
TURNS = [{"role": ("user", "assistant")[at % 2], "content": f"so many turns of few words, number {at}"} for at in range(61)]
ROWS = [
    {"prompt": "hi", "responses": ["a", "b"]},
    {"prompt": "hi", "responses": [LONG, "b"]},
    {"prompt": TURNS, "responses": ["a", "b"]},
    {"prompt": LONG, "responses": ["a", "b"]},
    {"prompt": 7},
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(save_model(tmp_path_factory.mktemp("tiny"), max_position_embeddings=1024))


@pytest.fixture
def asked(model, tmp_path):
    (tmp_path / "c.yaml").write_text(CONSTITUTION)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def config(**more):
        given = {"source": str(tmp_path / "rows.jsonl"), "constitution": tmp_path / "c.yaml", "critic": model, **more}
        fixed = {"out": tmp_path / "run", "store": tmp_path / "store.sqlite", "min_mass": 0.0, "max_failure_rate": 1.0}
        return configure(LabelConfig, engine="transformers", **fixed, **given)

    return config


def test_the_rows_are_those_of_the_run(asked, tmp_path):
    plan = dry_run(asked())
    run_label(asked())
    failures = [json.loads(line) for line in (tmp_path / "run" / "failures.jsonl").read_text().splitlines()]
    assert set(plan.too_long) == {one["row"] for one in failures if one["reason"] == "too_long"} == {3}
    records = [json.loads(line) for line in (tmp_path / "run" / "preferences.jsonl").read_text().splitlines()]
    assert set(plan.shortened) == {one["row"] for one in records if any(each["cut"] for each in one["principles"])} == {2, 4}


def test_thoughts_take_room_too(asked):
    assert dry_run(asked(thinking=500)).too_long == (3,)
    with pytest.raises(UsageError, match="none of the 4 rows fits the critic's context"):
        dry_run(asked(thinking=990))


def test_the_command_says_so(asked, model, rlaif, tmp_path):
    asked()
    command = ("label", "rows.jsonl", "--constitution", "c.yaml", "--critic", model, "--engine", "transformers")
    code, out, err = rlaif(*command, "--out", "run", "--dry-run")
    assert code == 0, err
    assert "row 3 would be listed as too_long" in out and "rows 2, 4 would be shortened to fit" in out
