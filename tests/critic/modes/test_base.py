"""What all modes promise, and a mode from outside of the package."""

import pytest

from rlaif.critic.config import modes_with
from rlaif.critic.modes import MODES
from rlaif.critic.templates import load_template
from rlaif.errors import UsageError
from rlaif.label.run import run_label
from tests.label.test_pipeline import Project

CONSTITUTION = "{name: test, version: 1, principles: [{id: kind, text: The response is kind.}]}"
WORSE = "tests.critic.modes.outside:WORSE"


@pytest.mark.parametrize("name", MODES)
def test_a_mode_asks_about_responses_that_are_there(name):
    mode = MODES[name]
    assert load_template(mode.form).mode == name and (mode.reasons is not None) == ("reasons" in mode.settings)
    for n in range(1, 30):
        pairs = [(i, j) for j in range(n) for i in range(j)]
        subjects = [] if mode.unfit(n) else mode.subjects(n, pairs)
        assert all(set(subject) <= set(range(n)) and len(set(subject)) == len(subject) for subject in subjects)
        assert bool(subjects) == (not mode.unfit(n))


def test_a_setting_is_for_the_modes_that_it_means_something_in():
    assert modes_with("orders") == "--mode compare or rank" and modes_with("min_mass") == "--mode compare or score"


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.constitution(CONSTITUTION)
    project.script('rules: [{when: "(?s)<one>bad", choose: {X: 0.8, Y: 0.2}}, {choose: {X: 0.2, Y: 0.8}}]')
    project.rows([{"prompt": "hi", "responses": ["good", "bad"]}, {"prompt": "hi", "responses": ["good", "good"]}])
    return project


def test_a_mode_from_outside_labels(project):
    counts = project.label(mode=WORSE)
    first, tie = project.read("preferences.jsonl")
    assert first["chosen"][0]["content"] == "good" and first["p_chosen"] == pytest.approx(0.8)
    assert tie["p_chosen"] == 0.5 and counts["asked"] == 2
    assert project.label(mode=WORSE)["asked"] == 0


def test_an_unknown_mode_is_named_with_the_nearest(project):
    with pytest.raises(UsageError, match=r"--mode scor: .*score"):
        run_label(project.config(mode="scor"))
    with pytest.raises(UsageError, match="cannot be imported"):
        run_label(project.config(mode="tests.critic.modes.outside:NOTHING"))


@pytest.mark.parametrize("mode", ["compare", "rank"])
def test_responses_that_are_the_same_are_a_tie_in_the_record(project, mode):
    project.script("rules: [{fail: refused}]")
    project.rows([{"prompt": "hi", "responses": ["same", "same"]}])
    counts = project.label(mode=mode)
    (record,) = project.read("preferences.jsonl")
    assert (record["p_chosen"], record["margin"]) == (0.5, 0.0)
    (entry,) = record["principles"]
    assert (entry["p"], entry["gap"], entry["mass"], entry["failure"]) == (0.5, None, None, None)
    assert (counts["asked"], counts["cached"], counts["verdicts"], counts["failed"]) == (0, 0, 1, 0)


@pytest.mark.parametrize("pairs", ["all", "swiss", "active"])
def test_ties_do_not_end_a_schedule_in_rounds(project, pairs):
    project.script("rules: [{choose: {A: 0.6, B: 0.2}}]")
    project.rows([{"prompt": "hi", "responses": ["same"] * 6}])
    project.label(pairs=pairs)
    records = project.read("preferences.jsonl")
    assert len(records) == (15 if pairs == "all" else 7) and {record["p_chosen"] for record in records} == {0.5}
