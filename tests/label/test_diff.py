"""What an edit would ask again must be what labelling then does ask, and flips are those of the files."""

import copy
import re

import pytest

from rlaif.constitution.load import load_constitution
from rlaif.critic.templates import default_folder
from rlaif.data.records import PreferenceRecord, read_records
from rlaif.data.run_folder import read_run
from rlaif.errors import UsageError
from rlaif.label.diff import cost, flips
from tests.label.test_pipeline import CONSTITUTION, SCRIPT, Project
from tests.reference.fake_run import preferences, write_run

EDITS = {
    "a wording": ("is short.", "is brief."),
    "a weight": ("weight: 2.0", "weight: 3.0"),
    "a condition lifted": (", when: {tags: [risky]}", ""),
    "a new principle": ("principles:", "principles:\n  - {id: new, text: The response is new.}"),
    "sampled": ("weighted", "sampled"),
}


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("options", [{}, {"mode": "score"}, {"pairs": "1"}, {"orders": "ab"}], ids=str)
def test_the_price_is_what_is_then_asked(project, edit, options):
    if options.get("mode") == "score":
        project.script("rules: [{choose: {'5': 1.0}}]")
    project.label(**options)
    before = load_constitution(project.folder / "c.yaml")
    project.constitution(CONSTITUTION.replace(*EDITS[edit]))
    price = cost(project.folder / "run", before, load_constitution(project.folder / "c.yaml"))
    counts = project.label(out=project.folder / "again", **options)
    assert price.calls == counts["asked"]
    assert price.verdicts == counts["verdicts"]
    assert (price.calls > 0) == bool(price.again) == (edit in ("a wording", "a condition lifted", "a new principle"))


def test_the_scale_that_the_run_was_asked_on_is_the_one_that_counts(project):
    text = (default_folder() / "score.yaml").read_text()
    text = re.sub(r"choices: .*", "choices: [['1', '2', '3'], [E, D, C, B, A]]", text)
    text = text.replace("from 1 (worst) to 9 (best)", "from {{ worst }} to {{ best }}")
    (project.folder / "score.yaml").write_text(text)
    project.script("rules: [{choose: {A: 1.0}}]")  # so the script's engine refuses the first scale
    project.label(mode="score", prompts=project.folder)
    assert read_run(project.folder / "run")["template"]["choices"] == list("EDCBA")
    assert all(
        record.p_chosen == 0.5 for record in read_records(project.folder / "run" / "preferences.jsonl", PreferenceRecord)
    )
    constitution = load_constitution(project.folder / "c.yaml")
    assert cost(project.folder / "run", constitution, constitution).calls == 0


def test_responses_that_a_policy_wrote_come_from_the_run(project):
    project.rows([{"prompt": f"p{i}", "tags": "risky"} for i in range(3)])
    project.label(policy="lab:policy", samples=3, max_tokens=24)
    before = load_constitution(project.folder / "c.yaml")
    project.constitution(CONSTITUTION.replace("is kind.", "is nice."))
    price = cost(project.folder / "run", before, load_constitution(project.folder / "c.yaml"))
    assert (price.verdicts, dict(price.again)) == (27, {"kind": 9})


def test_responses_that_are_the_same_cost_nothing(project):
    project.rows([{"prompt": "p", "tags": "risky"}])
    project.script(SCRIPT.replace("{A: 0.6, B: 0.3}}", "{A: 0.6, B: 0.3}, generate: Sure.}"))
    project.label(policy=f"script:{project.folder / 's.yaml'}", samples=3)
    before = load_constitution(project.folder / "c.yaml")
    project.constitution(CONSTITUTION.replace("is kind.", "is nice."))
    price = cost(project.folder / "run", before, load_constitution(project.folder / "c.yaml"))
    assert (price.verdicts, price.calls, dict(price.again)) == (9, 0, {})


def test_single_responses_that_a_policy_wrote_count_where_they_were_scored(project):
    project.rows([{"prompt": f"p{i}"} for i in range(3)])
    project.script("rules: [{choose: {'5': 1.0}, generate: Sure.}]")
    project.label(mode="score", policy=f"script:{project.folder / 's.yaml'}", samples=1)
    before = load_constitution(project.folder / "c.yaml")
    project.constitution(CONSTITUTION.replace("is kind.", "is nice."))
    price = cost(project.folder / "run", before, load_constitution(project.folder / "c.yaml"))
    assert (price.verdicts, dict(price.again)) == (6, {"kind": 3})


def test_flips_are_the_pairs_whose_winner_changed(tmp_path):
    old = preferences(30)
    new = copy.deepcopy(old)
    for record in new[3:5]:
        record["chosen_index"], record["rejected_index"] = record["rejected_index"], record["chosen_index"]
        for entry in record["principles"]:
            entry["p"] = None if entry["p"] is None else 1 - entry["p"]  # the verdicts stay; only what counts as chosen turns
    for entry in new[7]["principles"][:1]:
        entry["p"] = 1 - entry["p"]
    del new[20:]
    shared, turned, verdicts = flips(write_run(tmp_path / "a", old), write_run(tmp_path / "b", new))
    assert shared == 20 and verdicts == {"polite": 1}
    assert [flip.id for flip in turned] == [record["id"] for record in old[3:5]]
    assert [(flip.before, flip.after) for flip in turned] == [(r["p_chosen"], 1 - r["p_chosen"]) for r in old[3:5]]


def test_another_constitution_than_the_runs_has_no_price(project):
    project.label()
    project.constitution(CONSTITUTION.replace("is kind.", "is nice."))
    other = load_constitution(project.folder / "c.yaml")
    with pytest.raises(UsageError, match="labelled by another version"):
        cost(project.folder / "run", other, other)


def test_a_jury_costs_all_of_its_calls(project):
    (project.folder / "second.yaml").write_text(SCRIPT + "# another\n")
    jury = {"jury": (f"script:{project.folder / 'second.yaml'}",)}
    project.label(**jury)
    before = load_constitution(project.folder / "c.yaml")
    project.constitution(CONSTITUTION.replace("is kind.", "is nice."))
    price = cost(project.folder / "run", before, load_constitution(project.folder / "c.yaml"))
    assert price.calls == project.label(out=project.folder / "again", **jury)["asked"]


def test_runs_that_share_no_pair_are_not_compared(tmp_path):
    some = write_run(tmp_path / "a", preferences(5))
    with pytest.raises(UsageError, match="differ in mode"):
        flips(some, write_run(tmp_path / "b", preferences(5), mode="rank"))
    with pytest.raises(UsageError, match="no pair in common"):
        flips(some, write_run(tmp_path / "c", []))


def test_a_folder_without_a_label_run_is_told(project, tmp_path):
    constitution = load_constitution(project.folder / "c.yaml")
    with pytest.raises(UsageError, match="not a run folder"):
        cost(tmp_path / "nowhere", constitution, constitution)
    with pytest.raises(UsageError, match="not a run folder"):
        flips(tmp_path / "nowhere", tmp_path)
