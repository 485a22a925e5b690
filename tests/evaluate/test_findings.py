"""Findings from runs whose fault is known, and what can be required."""

import random

import pytest

from rlaif.data.records import PreferenceRecord
from rlaif.errors import UsageError
from rlaif.evaluate.findings import MEASURES, figures, findings
from rlaif.evaluate.quality import Tally
from rlaif.evaluate.requirements import requirement


def judged(n=200, mode="compare", orders="both", canaries=(0, 0), **faults):
    """The quality of a run of ``n`` pairs. faults: functions from a random generator to what a record is made of."""
    draw = random.Random(1)
    run = {"mode": mode, "config": {"orders": orders}}
    run["counts"] = {"verdicts": 2 * n, "failed": 0, "canaries": canaries[1], "canaries_right": canaries[0]}
    tally = Tally(run)
    tally.add_preferences([record(number, draw, **faults) for number in range(n)])
    return tally.quality(run, {})


def record(
    number,
    draw,
    right=lambda draw: draw.random() < 0.9,
    gap=lambda draw: draw.uniform(-0.1, 0.1),
    mass=lambda draw: 0.9,
    lengths=lambda draw: (draw.randint(1, 50), draw.randint(1, 50)),
    other=lambda draw, p: draw.choice([p, 1 - p]),
    reverse=lambda draw, index: None,
):
    p, chosen = draw.uniform(0.7, 0.99), draw.randrange(2)
    verdicts = [{"id": "kind", "p": p, "gap": gap(draw)}, {"id": "short", "p": other(draw, p), "gap": gap(draw)}]
    sizes = lengths(draw)
    return PreferenceRecord.from_dict(
        {
            "id": f"{number}:0-1",
            "prompt": [{"role": "user", "content": "q"}],
            "chosen": [{"role": "assistant", "content": "x" * sizes[0]}],
            "rejected": [{"role": "assistant", "content": "x" * sizes[1]}],
            "p_chosen": p,
            "principles": [{"weight": 1.0, "mass": mass(draw), "cut": 0, "failure": None, **each} for each in verdicts],
            "row": number,
            "chosen_index": chosen,
            "rejected_index": 1 - chosen,
            "reversed": reverse(draw, chosen),
            "gold": [{"id": "overall", "margin": 1.0 if right(draw) else -1.0}],
        }
    )


def about(quality):
    return [finding.about for finding in findings(quality)]


def test_a_good_run_has_none():
    assert about(judged(canaries=(9, 10))) == []


FAULTS = {
    "position decides": {"gap": lambda draw: 1.0},
    "at chance": {"right": lambda draw: draw.random() < 0.5},
    "label mass low": {"mass": lambda draw: 0.15},
    "kind = short": {"other": lambda draw, p: p},
    "length decides": {"lengths": lambda draw: (9, 3)},
    "short never differs": {"other": lambda draw, p: draw.uniform(0.46, 0.54)},
    "canaries wrong": {"canaries": (3, 8)},
}


@pytest.mark.parametrize(("name", "fault"), FAULTS.items(), ids=FAULTS)
def test_each_fault_is_found_and_no_other(name, fault):
    (finding,) = findings(judged(**fault))
    assert finding.about == name
    assert finding.remedy and finding.sentence.startswith(finding.text)
    assert not findings(judged(40, **fault))  # too few verdicts to tell


def test_shorter_responses_and_verdicts_against_the_labels_are_found_too():
    (length,) = findings(judged(lengths=lambda draw: (3, 9)))
    assert "the shorter response is chosen in 100.0%" in length.text
    (against,) = findings(judged(right=lambda draw: draw.random() < 0.2))
    assert "worse than chance" in against.text


@pytest.mark.parametrize("wins", [0, 1])
def test_in_one_order_it_is_who_stands_first_that_tells(wins):
    """The chosen response always stood first (or last): by its index, or by the list being reversed."""
    chosen = {"orders": "ab", "gap": lambda draw: None, "other": lambda draw, p: draw.uniform(0.55, 0.99)}
    quality = judged(**chosen, reverse=lambda draw, index: True if (index == 0) != wins else None)
    (finding,) = findings(quality)
    assert finding.about == "position decides" and f"{wins:.1%}" in finding.text
    assert quality.position.first_wins.value == wins
    assert findings(judged(**chosen, reverse=lambda draw, index: draw.choice([True, None]))) == []


def test_scores_have_no_position():
    assert judged(mode="score", gap=lambda draw: None).position.once == 0


@pytest.mark.parametrize(
    ("text", "met"),
    [("flips<0.3", True), ("flips < .0", False), ("agreement>60%", True), ("agreement>=.99", False), ("mass<=0.91", True)],
)
def test_what_is_required(text, met):
    missed = requirement(text, MEASURES).missed(figures(judged()))
    assert (missed is None) == met
    assert met or ("is not met" in missed and "%" in missed)


@pytest.mark.parametrize("name", MEASURES)
def test_what_a_run_does_not_tell_is_not_met(name):
    empty = Tally({"mode": "compare"}).quality({"mode": "compare", "counts": {}}, {})
    if name != "failures":  # of nothing asked, nothing failed
        assert "cannot be told" in (requirement(f"{name}>0", MEASURES).missed(figures(empty)) or "")


@pytest.mark.parametrize(
    "text", ["", "flips", "flips<", "flip<0.3", "flips=0.3", "flips<30", "flips<-1", "flips<0.3 and mass>1"]
)
def test_requirements_that_say_nothing_are_refused(text):
    with pytest.raises(UsageError, match="--require"):
        requirement(text, MEASURES)
