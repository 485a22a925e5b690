"""The file and when it applies; the whole way from a run over labels to a calibrated one."""

import json
from pathlib import Path

import pytest

from rlaif.constitution.types import Constitution, Principle
from rlaif.critic.calibrated import Calibration, Map, read_calibration, wording_of, write_calibration
from rlaif.critic.judge import Judge
from rlaif.critic.templates import load_template
from rlaif.critic.verdict import TIE, Comparison, Failure, FailureReason
from rlaif.errors import UsageError

KIND, SHORT = Principle("kind", "Kind."), Principle("short", "Short.")
CONSTITUTION = Constitution("c", 1, (KIND, SHORT))
HALF = Map(80, slope=0.5)
STEPS = Map(300, x=(0.1, 0.5, 0.9), y=(0.3, 0.5, 0.7))
FILE = Path("calibration.json")


def judge(constitution=CONSTITUTION, **more):
    return Judge(constitution, load_template("compare", None), "critic-1", **more)


def calibration(**more):
    made = {
        "critic": "critic-1",
        "mode": "compare",
        "template": judge().template.digest,
        "settings": {"orders": "both"},
        "constitution": CONSTITUTION.digest,
        "aggregate": "weighted",
        "wordings": {each["id"]: wording_of(each, "compare", 0) for each in CONSTITUTION.resolved()["principles"]},
        "principles": {"kind": HALF},
        "overall": STEPS,
    }
    return Calibration(**{**made, **more})


def test_a_file_is_read_as_it_was_written(tmp_path):
    write_calibration(calibration(), tmp_path / "deep" / "c.json")
    assert read_calibration(tmp_path / "deep" / "c.json") == calibration()


@pytest.mark.parametrize(
    "change",
    [
        {"what": "other"},
        {"principles": {"kind": {"labels": 1, "slope": -1.0, "x": [], "y": []}}},
        {"principles": {"kind": {"labels": 1, "slope": None, "x": [0.1, 0.9], "y": [0.7, 0.3]}}},
        {"principles": {"kind": {"labels": 1, "slope": None, "x": [0.1, 2], "y": [0.3, 0.7]}}},
        {"principles": {"kind": {"labels": 1, "slope": None, "x": [], "y": []}}},
        {"principles": {"kind": {"labels": 1, "slope": float("nan"), "x": [], "y": []}}},
        {"overall": 5},
        {"surprise": 1},
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, change):
    write_calibration(calibration(), tmp_path / "c.json")
    content = json.loads((tmp_path / "c.json").read_text())
    (tmp_path / "c.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(UsageError, match="not a file that rlaif critic calibrate wrote"):
        read_calibration(tmp_path / "c.json")
    with pytest.raises(UsageError, match="cannot be read"):
        read_calibration(tmp_path / "nowhere.json")


def test_verdicts_keep_the_critics_own_word_beside():
    failure = Failure(FailureReason.REFUSED, "no")
    judged = [(KIND, Comparison(0.9, 0.1, 1.0, ())), (SHORT, Comparison(0.9, None, 1.0, ())), (KIND, failure), (KIND, TIE)]
    (one, other, failed, tie) = [verdict for _, verdict in calibration().on_principles(judged)]
    assert one.p == pytest.approx(0.75) and (one.uncalibrated, one.gap) == (0.9, 0.1)
    assert one.swap().p == pytest.approx(0.25) and one.swap().uncalibrated == pytest.approx(0.1)
    assert other == judged[1][1] and failed is failure and tie.p == 0.5
    assert calibration().on_overall(0.7) == pytest.approx(0.6) and calibration().on_overall(None) is None
    assert calibration(overall=None).on_overall(0.7) == 0.7


def fitting(found, asked=None, identity="critic-1", **settings):
    return found.fitting(FILE, asked or judge(), identity, {"orders": "both", **settings})


def test_another_critic_or_another_way_of_asking_is_refused():
    assert fitting(calibration()) == (calibration(), [])
    for found, more, said in (
        (calibration(critic="critic-2"), {}, r"another critic \(critic-2, not critic-1\)"),
        (calibration(mode="rank"), {}, "another mode"),
        (calibration(template="x"), {}, "another prompt template"),
        (calibration(), {"orders": "ab"}, r"another --orders \(both, not ab\)"),
        (calibration(), {"reasons_tokens": 9}, "another --reasons-tokens"),
    ):
        with pytest.raises(UsageError, match=said):
            fitting(found, **more)


def test_a_principle_that_is_worded_otherwise_and_another_whole_are_left_out():
    reworded = Constitution("c", 1, (Principle("kind", "Very kind."), SHORT))
    both = calibration(principles={"kind": HALF, "short": HALF})
    found, left_out = fitting(both, judge(reworded))
    assert found.principles == {"short": HALF} and found.overall is None
    assert [text.partition(":")[0] for text in left_out] == ["kind", "the overall preference"]
    heavier = Constitution("c", 1, (Principle("kind", "Kind.", weight=3.0), SHORT))
    assert fitting(both, judge(heavier))[0].principles == both.principles and fitting(both, judge(heavier))[0].overall is None
    assert fitting(both, judge(aggregate="worst"))[0].overall is None
    with pytest.raises(UsageError, match="nothing of it applies here"):
        fitting(calibration(), judge(reworded))


def test_from_labels_to_a_calibrated_run(rlaif, tmp_path):
    """A critic that says .9 or .6 and is right 7 times in ten either way."""
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: kind, text: The response is kind.}]}")
    (tmp_path / "s.yaml").write_text(
        "rules:\n"
        "  - {when: '(?s)<response_a>.*surely.*</response_a>', choose: {A: 0.9, B: 0.1}}\n"
        "  - {when: '(?s)<response_b>.*surely.*</response_b>', choose: {A: 0.1, B: 0.9}}\n"
        "  - {when: '(?s)<response_a>.*maybe.*</response_a>', choose: {A: 0.6, B: 0.4}}\n"
        "  - {choose: {A: 0.4, B: 0.6}}\n"
    )
    rows = []
    for number in range(100):
        better, worse = ("surely" if number % 2 else "maybe"), "not so"
        right = number // 2 % 10 < 7
        gold = {"gold": {"kind": 1.0, "overall": 1.0}}, {"gold": {"kind": 0.0, "overall": 0.0}}
        texts = zip((better, worse), gold if right else gold[::-1], strict=True)
        rows.append({"prompt": f"q{number}", "responses": [{"text": text, **known} for text, known in texts]})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["label", "rows.jsonl", "--critic", "script:s.yaml", "--constitution", "c.yaml", "--store", "v.sqlite"]
    assert rlaif(*asked, "--out", "run")[0] == 0
    code, out, err = rlaif("critic", "calibrate", "run")
    assert code == 0, err
    assert "kind: 100 held-out labels, ECE 0.150 -> " in out
    assert "next     rlaif label ROWS --config run/config.yaml --calibration run/calibration.json" in err
    code, _, err = rlaif(*asked, "--out", "again", "--calibration", "run/calibration.json")
    assert code == 0, err
    records = [json.loads(line) for line in (tmp_path / "again/preferences.jsonl").read_text().splitlines()]
    surely = next(record for record in records if record["principles"][0]["uncalibrated"] == 0.9)["principles"][0]
    assert 0.65 < surely["p"] < 0.85 and surely["gap"] == 0.0
    run = json.loads((tmp_path / "again/run.json").read_text())
    assert run["calibration"]["principles"] == ["kind"] and run["counts"]["asked"] == 0
    before = (tmp_path / "run/run.json").read_text() + (tmp_path / "run/preferences.jsonl").read_text()
    assert "calibrat" not in before.replace('"calibration": null', "")
    code, _, err = rlaif(*asked, "--out", "third", "--calibration", "run/calibration.json", "--orders", "ab")
    assert code == 2 and "--calibration run/calibration.json: for another --orders" in err
    assert not (tmp_path / "third").exists()
    code, _, err = rlaif("critic", "calibrate", "run", "--method", "isotonic")
    assert code == 2 and "isotonic takes 300" in err
    code, _, err = rlaif("critic", "calibrate", "run", "--out", "rows.jsonl")
    assert code == 2 and "is no calibration" in err
    assert rlaif("critic", "calibrate", "again")[0] == 0  # its own p are what is calibrated, not the calibrated ones
    first, second = (json.loads((tmp_path / name / "calibration.json").read_text()) for name in ("run", "again"))
    assert first["principles"] == second["principles"] and first["overall"] == second["overall"]
