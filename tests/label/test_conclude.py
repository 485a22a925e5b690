"""What follows from a run's records: other forms of them, the card, the report, and how the run ended."""

import json

import pytest

from rlaif.data.run_folder import RunFolder
from rlaif.errors import RunFailed
from rlaif.label.conclude import conclude
from tests.label.test_pipeline import Project


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path)
    made.constitution("name: test\nversion: 1\nprinciples:\n  - {id: kind, text: It is kind.}\n")
    made.script("rules:\n  - {choose: {A: 0.7, B: 0.2}}\n")
    made.rows([{"prompt": f"q{n}", "chosen": f"c{n}", "rejected": f"r{n}"} for n in range(60)])
    return made


def test_other_forms_of_the_records_are_those_that_were_asked_for_last(project):
    project.label(export=("sft",))
    out = project.config().out
    assert (out / "preferences.parquet").is_file() and (out / "sft.jsonl").is_file()
    project.label()
    assert (out / "preferences.parquet").is_file() and not (out / "sft.jsonl").exists()


def test_a_run_that_was_stopped_is_recorded_and_its_records_make_no_report(project):
    config = project.config()
    opened = RunFolder(config.out, {"kind": "label", "source": config.source}, False, config)
    with opened as folder, pytest.raises(RunFailed, match="too many failures"):
        conclude(folder, config, {}, RunFailed("too many failures"))
    run = json.loads((config.out / "run.json").read_text())
    assert run["status"] == "failed" and run["error"] == "too many failures"
    assert not (config.out / "report.html").exists()


def test_the_report_that_a_run_ends_with_holds_so_many_pairs_and_says_how_to_see_all(project, monkeypatch):
    monkeypatch.setattr("rlaif.label.conclude.OWN_PAIRS", 20)
    project.label()
    report = (project.config().out / "report.html").read_text()
    assert "A random sample of 20 of 60 pairs" in report
    assert "<code>rlaif report</code> with <code>--max-pairs 60</code>" in report
