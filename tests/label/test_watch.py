"""What a run says of its own labels: while it goes on, at its end, in its files, and by its exit code."""

import pytest

from rlaif.data.run_folder import read_run
from rlaif.errors import RunFailed, UsageError
from rlaif.evaluate.agreement import accuracy
from rlaif.evaluate.findings import findings
from rlaif.evaluate.quality import quality
from rlaif.label.plan import dry_run
from rlaif.label.run import run_label
from rlaif.progress import Progress
from tests.label.test_pipeline import Project

ALWAYS_A = "rules:\n  - {choose: {A: 0.9, B: 0.1}}\n"
PAIRS = [{"prompt": f"q{n}", "chosen": f"c{n}", "rejected": f"r{n}"} for n in range(600)]


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path)
    made.constitution("name: test\nversion: 1\nprinciples:\n  - {id: kind, text: It is kind.}\n")
    made.script(ALWAYS_A)
    made.rows(PAIRS)
    return made


def test_a_critic_that_always_says_a_agrees_with_nobody_in_either_order(project):
    agreed = {}
    for orders in ("ab", "ba"):
        project.label(orders=orders, overwrite=True)
        judged = quality(project.config().out)
        agreed[orders] = accuracy(judged.overall.table)
        assert agreed[orders].low < 0.5 < agreed[orders].high
        assert [finding.about for finding in findings(judged)] == ["position decides", "at chance"]
        assert judged.position.first_wins.value == 1.0
    assert agreed["ab"].value + agreed["ba"].value == pytest.approx(1.0)  # the same coin, the other side


def test_the_same_sentences_come_live_at_the_end_and_head_the_report_and_the_card(project):
    warned = []
    run = run_label(project.config(), Progress(warn=warned.append))
    assert len(warned) > 1 and all(warned)
    last = findings(quality(project.config().out))
    assert warned[-1] == [finding.about for finding in last]
    assert run["findings"] == [finding.sentence for finding in last] == read_run(project.config().out)["findings"]
    card = (project.config().out / "README.md").read_text()
    assert all(sentence in card.partition("## Quality")[0] for sentence in run["findings"])
    report = (project.config().out / "report.html").read_text()
    assert "Read this before you use the labels" in report.partition('<dl class="facts">')[0]


def test_what_is_required_decides_the_exit_and_the_labels_are_kept(project):
    with pytest.raises(RunFailed, match=r"flips<0.3 is not met: 100.0%.*agreement>0.6 is not met"):
        project.label(require=("flips<0.3", "agreement>0.6", "mass>0.5"))
    run = read_run(project.config().out)
    assert run["status"] == "finished" and len(run["requirements_missed"]) == 2
    assert len(project.read("preferences.jsonl")) == len(PAIRS)
    assert run_label(project.config(require=("flips>0.3",)))["counts"]["asked"] == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"require": ("flips<0.3",), "orders": "ab"}, "needs --orders both"),
        ({"require": ("canaries>0.5",)}, "needs --canaries"),
        ({"require": ("first<0.7",), "mode": "score"}, "needs --mode compare"),
        ({"require": ("flips<<1",)}, "expected one of"),
    ],
)
def test_what_cannot_be_told_is_refused_before_anything_is_asked(project, options, why):
    for work in (run_label, dry_run):
        with pytest.raises(UsageError, match=why):
            work(project.config(**options))
    assert not (project.config().out / "preferences.jsonl").exists()
