"""``--track``: the real TensorBoard's files are read back; what is not installed is named."""

import json
import math
import sys
from types import SimpleNamespace

import pytest

from rlaif import tracking
from rlaif.errors import UsageError
from rlaif.tracking import Tracker, chosen
from tests.events import events


def test_names_are_read_and_checked():
    assert chosen("") == [] and chosen(" tensorboard ,tensorboard,") == ["tensorboard"]
    with pytest.raises(UsageError, match=r"--track tensorbord: expected .*did you mean tensorboard"):
        chosen("tensorbord")


@pytest.mark.parametrize("name", tracking.TRACKERS)
def test_a_package_that_is_not_there_is_named(monkeypatch, name, tmp_path):
    monkeypatch.setattr(tracking, "find_spec", lambda package: None)
    with pytest.raises(UsageError, match=f"pip install {name}"):
        Tracker(name, tmp_path, {})


def test_what_is_not_finite_is_left_out(tmp_path):
    tracker = Tracker("tensorboard", tmp_path, {})
    tracker.log(1, {"a": 1.0, "b": math.nan, "c": math.inf, "d": 3})
    tracker.close()
    assert events(tmp_path) == {"a": {1: 1.0}, "d": {1: 3.0}}


def test_steps_after_the_one_gone_on_from_are_replaced(tmp_path):
    for begun_at, steps in ((0, range(1, 5)), (2, range(3, 4))):
        tracker = Tracker("tensorboard", tmp_path, {}, begun_at)
        for step in steps:
            tracker.log(step, {"a": 10.0 * begun_at + step})
        tracker.close()
    assert events(tmp_path) == {"a": {1: 1.0, 2: 2.0, 3: 23.0}}


@pytest.mark.parametrize(("name", "more"), [("wandb", {"dir": "RUN"}), ("trackio", {"resume": "allow"})])
def test_the_others_are_told_the_runs_name_and_settings(name, more, tmp_path, monkeypatch):
    """The package is a stand-in that notes its calls; the tracker between is accelerate's own."""
    calls = []
    run = SimpleNamespace(log=lambda values, step: calls.append((step, values)), finish=lambda: calls.append("finished"))
    package = SimpleNamespace(init=lambda **given: calls.append(given) or run, __spec__=True)
    monkeypatch.setitem(sys.modules, name, package)
    monkeypatch.setattr(tracking, "find_spec", lambda asked: True)
    tracker = Tracker(name, tmp_path / "mine", {"seed": 7}, begun_at=4)
    tracker.log(5, {"reward": 0.5})
    tracker.close()
    more = {key: str(tmp_path / "mine") if value == "RUN" else value for key, value in more.items()}
    assert calls == [{"project": "rlaif", "name": "mine", "config": {"seed": 7}, **more}, (5, {"reward": 0.5}), "finished"]


def test_a_label_run_tracks_its_figures(rlaif, tmp_path):
    (tmp_path / "s.yaml").write_text("rules: [{choose: {A: 0.8, B: 0.1}}]")
    (tmp_path / "c.yaml").write_text("{name: c, version: 1, principles: [{id: kind, text: The response is kind.}]}")
    rows = [{"prompt": f"q{number}", "chosen": "one", "rejected": "two"} for number in range(4)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["label", "rows.jsonl", "--critic", "script:s.yaml", "--constitution", "c.yaml", "--store", "v.sqlite"]
    assert rlaif(*command, "--out", "run", "--track", "tensorboard")[0] == 0
    found = events(tmp_path / "run")
    assert found["verdicts"] == {4: 4.0} and found["flips"] == {4: 1.0} and found["kind/flips"] == {4: 1.0}
    code, _, err = rlaif(*command, "--out", "other", "--track", "tensorboard,mlflow")
    assert code == 2 and "--track mlflow" in err and not (tmp_path / "other").exists()


def test_of_several_processes_only_the_main_one_speaks(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "_speaks", lambda: False)
    tracker = Tracker("tensorboard", tmp_path, {})
    tracker.log(1, {"a": 1.0})
    tracker.close()
    assert not (tmp_path / "tensorboard").exists()
