"""Which run a folder holds, and whether another may go on in it."""

from __future__ import annotations

import pytest

from rlaif.data.run_folder import RunFolder
from rlaif.errors import UsageError

CONFIG = {"steps": 4, "report_to": "none"}


def begun(path, config=CONFIG, overwrite=False, digest="a"):
    """As a training run asks; what a run of ``config`` then leaves is left."""
    with RunFolder(path, {"kind": "train"}, overwrite) as folder:
        then = folder.read().get("digest", digest)
        before = folder.continued(config, {"report_to"}, ("model", "round-*"), [("other rows", then, digest)])
        folder.write("running", {"config": config, "digest": digest})
        (path / "model").mkdir(exist_ok=True)
        (path / "round-1").touch()
    return before


def test_a_run_goes_on_with_the_same_configuration_and_free_entries_do_not_count(tmp_path):
    assert begun(tmp_path / "run") == {}
    before = begun(tmp_path / "run", {**CONFIG, "report_to": "wandb"})
    assert (before["status"], before["config"]) == ("running", CONFIG)


@pytest.mark.parametrize(
    ("given", "said"), [({"config": {**CONFIG, "steps": 5}}, "steps 4, not 5"), ({"digest": "b"}, "other rows")]
)
def test_another_run_is_refused_and_said_why(tmp_path, given, said):
    begun(tmp_path / "run")
    with pytest.raises(UsageError, match=f"run holds a run with {said}; give another --out, or --overwrite"):
        begun(tmp_path / "run", **given)
    assert (tmp_path / "run" / "model").is_dir()


def test_overwriting_removes_what_the_other_run_left(tmp_path):
    begun(tmp_path / "run")
    (tmp_path / "run" / "mine.txt").touch()
    with RunFolder(tmp_path / "run", {"kind": "train"}, overwrite=True) as folder:
        assert folder.continued({**CONFIG, "steps": 5}, (), ("model", "round-*")) == {}
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"mine.txt", "run.json", ".lock"}


def test_what_no_run_left_is_not_touched(tmp_path):
    (tmp_path / "run" / "model").mkdir(parents=True)
    with pytest.raises(UsageError, match="is there already, and of no run"):
        begun(tmp_path / "run")
    assert begun(tmp_path / "run", overwrite=True) == {}
