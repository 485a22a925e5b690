"""Which run a folder holds, and whether another may go on in it."""

from __future__ import annotations

import os

import pytest

from rlaif.critic.store import VerdictStore
from rlaif.data.run_folder import RunFolder
from rlaif.data.write import JsonlWriter
from rlaif.engines.base import Failure, FailureReason
from rlaif.errors import RunFailed, UsageError, remember_secrets

CONFIG = {"steps": 4, "track": ""}


def begun(path, config=CONFIG, overwrite=False, digest="a"):
    """As a training run asks; what a run of ``config`` then leaves is left."""
    with RunFolder(path, {"kind": "train"}, overwrite) as folder:
        then = folder.read().get("digest", digest)
        before = folder.continued(config, {"track"}, ("model", "round-*"), [("other rows", then, digest)])
        folder.write("running", {"config": config, "digest": digest})
        (path / "model").mkdir(exist_ok=True)
        (path / "round-1").touch()
    return before


def test_a_run_goes_on_with_the_same_configuration_and_free_entries_do_not_count(tmp_path):
    assert begun(tmp_path / "run") == {}
    before = begun(tmp_path / "run", {**CONFIG, "track": "wandb"})
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
        assert (tmp_path / "run" / "model").is_dir()  # until the new run begins
        folder.write("running", {})
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {"mine.txt", "run.json", ".lock"}


def test_what_no_run_left_is_not_touched(tmp_path):
    (tmp_path / "run" / "model").mkdir(parents=True)
    with pytest.raises(UsageError, match="exists and belongs to no run"):
        begun(tmp_path / "run")
    assert begun(tmp_path / "run", overwrite=True) == {}


def test_all_that_differs_is_named(tmp_path):
    begun(tmp_path / "run", {"steps": 4, "nested": {"rate": 0.1, "track": ""}})
    with pytest.raises(UsageError, match=r"steps 4, not 5, and rate 0\.1, not 0\.2, and other rows; give another --out"):
        begun(tmp_path / "run", {"steps": 5, "nested": {"rate": 0.2, "track": "wandb"}}, digest="b")


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("taken", ["README.md", "preferences.jsonl", "report.html", "sft.parquet"])
def test_a_file_that_no_run_wrote_is_not_replaced(tmp_path, taken):
    (tmp_path / taken).write_text("mine")
    with (
        pytest.raises(UsageError, match=f"{taken} exists and belongs to no run"),
        RunFolder(tmp_path, {"kind": "label"}),
    ):
        pass
    with RunFolder(tmp_path, {"kind": "label"}, overwrite=True) as folder:
        folder.write("running", {})


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_refused_start_leaves_the_folder_as_it_was(tmp_path, overwrite):
    path = tmp_path / "a" / "run"

    def refused(what):
        with pytest.raises(UsageError, match="wrong"), RunFolder(path, what, overwrite) as folder:
            folder.continued(CONFIG, (), ("model",))
            if not overwrite:
                folder.write("running", {"config": {"steps": 5}})
                (path / "failures.jsonl").touch()
            raise UsageError("wrong flag")

    refused({"kind": "label"})
    assert not path.exists()
    begun(path)
    before = files(path)
    refused({"kind": "train"})
    assert files(path) == before and (path / "model").is_dir()


def test_what_goes_wrong_is_written_into_the_record(tmp_path):
    for error, status, says in (
        (RunFailed("the engine is gone"), "failed", "the engine is gone"),
        (RuntimeError("odd"), "failed", "odd"),
        (KeyboardInterrupt(), "interrupted", "stopped by the user"),
        (OSError(28, "No space left on device", "/x/y"), "failed", "/x/y: No space left on device; free some space"),
    ):
        with pytest.raises(type(error)), RunFolder(tmp_path / "run", {"kind": "train"}) as folder:
            folder.write("running", {"config": CONFIG})
            raise error
        run = folder.read()
        assert run["status"] == status and says in run["error"] and run["config"] == CONFIG


def test_a_run_that_failed_with_nothing_to_show_leaves_the_folder_to_the_corrected_command(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(RunFailed), RunFolder(path, {"kind": "train"}) as folder:
        folder.write("running", {"config": CONFIG})
        (path / "warnings.jsonl").touch()
        raise RunFailed("no such server")
    with RunFolder(path, {"kind": "label"}) as folder:
        assert folder.continued({"steps": 5}, (), ("model",)) == {}
        folder.write("running", {"config": {"steps": 5}})
        assert not (path / "warnings.jsonl").exists()
        (path / "model").mkdir()
        folder.write("failed", {"config": {"steps": 5}})
    with pytest.raises(UsageError, match="kind 'label', not 'train'"), RunFolder(path, {"kind": "train"}):
        pass


@pytest.mark.parametrize("name", [".lock", "failures.jsonl.part", "run.json"])
def test_no_link_is_written_through(tmp_path, name):
    (tmp_path / "run").mkdir()
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "run" / name).symlink_to("../outside")
    try:
        with RunFolder(tmp_path / "run", {"kind": "label"}, overwrite=True) as folder:
            with JsonlWriter(tmp_path / "run" / "failures.jsonl") as failures:
                failures.write({"row": 1})
            folder.write("running", {})
    except UsageError as error:
        assert name == ".lock" and "symbolic link" in str(error)
    assert (tmp_path / "outside").read_text() == "mine"


def test_secrets_are_not_written_into_the_record(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    remember_secrets("http://user:p@ss%25word@host")
    facts = {"config": {"critic": ["http://user:p@ss%25word@host"]}, "error": "401 for sk-0123456789 and p@ss%word"}
    with RunFolder(tmp_path, {"kind": "label", "source": "http://a:bcd@e"}) as folder:
        folder.write("failed", facts)
    text = (tmp_path / "run.json").read_text()
    assert not any(secret in text for secret in ("sk-0123456789", "p@ss", "bcd", "user"))


def test_files_follow_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        with RunFolder(tmp_path / "run", {"kind": "label"}) as folder, JsonlWriter(tmp_path / "run" / "failures.jsonl"):
            folder.write("running", {})
        with VerdictStore(tmp_path / "run" / "store.sqlite") as store:
            store.put([(b"x", Failure(FailureReason.TOO_LONG))])
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "run", *(tmp_path / "run").iterdir())} == {0}
