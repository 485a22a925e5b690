import errno
import json
import os
import subprocess
from pathlib import Path

import pytest

from rlaif.data.write import JsonlWriter, atomic_write, disk_trouble, dumps
from rlaif.errors import RunFailed


def test_an_atomic_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_write(path) as file:
        file.write("first")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_write(path) as file:
        file.write("second")
        raise RuntimeError
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_leftovers_of_the_dead_are_swept_and_of_the_living_kept(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    dead, living = (tmp_path / f".file.{pid}.tmp" for pid in (gone.pid, os.getppid()))
    dead.touch()
    living.touch()
    with atomic_write(tmp_path / "file") as file:
        file.write("x")
    assert not dead.exists() and living.exists()


def test_records_appear_when_all_are_written(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    with JsonlWriter(path, sync_every=2) as writer:
        for number in range(3):
            writer.write({"z": number, "a": 0.1, "text": "é\u2028"})
            assert not path.exists()
        assert writer.part.read_text(encoding="utf-8").count("\n") == 2
    assert path.read_text(encoding="utf-8").split("\n")[0] == '{"z": 0, "a": 0.1, "text": "é\u2028"}'
    assert not writer.part.exists() and writer.written == 3


def test_an_error_leaves_the_old_file_and_the_new_part(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_text("old\n")
    with pytest.raises(RuntimeError), JsonlWriter(path) as writer:
        writer.write({"a": 1})
        raise RuntimeError
    assert path.read_text() == "old\n"
    assert writer.part.read_text() == '{"a": 1}\n'
    with JsonlWriter(path):
        pass
    assert path.read_text() == ""


def test_text_that_no_file_can_hold_is_replaced_and_numbers_that_no_json_can_hold_are_refused() -> None:
    assert json.loads(dumps({"a": "x\ud800y"})) == {"a": "x\ufffdy"}
    assert json.loads(dumps("\ud83d\ude00")) == "😀"
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps(float("nan"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG, errno.EIO])
def test_a_disk_that_takes_no_more_is_told_with_the_file_and_a_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "records.jsonl").write_text("old\n")
    monkeypatch.setattr(os, "fsync", refused)
    says = rf"records\.jsonl\.part: {os.strerror(number)}; \w+ "
    with pytest.raises(RunFailed, match=says), JsonlWriter(tmp_path / "records.jsonl", sync_every=1) as writer:
        writer.write({"a": 1})
    with pytest.raises(RunFailed, match=rf"file: {os.strerror(number)}; \w+ "), atomic_write(tmp_path / "file"):
        pass
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"records.jsonl": "old\n"}


def test_no_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    for name in ("records.jsonl.part", "records.jsonl", f".file.{os.getpid()}.tmp", "file"):
        (tmp_path / name).symlink_to("outside")
    with JsonlWriter(tmp_path / "records.jsonl") as writer, atomic_write(tmp_path / "file") as file:
        writer.write({"a": 1})
        file.write("new")
    assert (tmp_path / "outside").read_text() == "mine"
    assert (tmp_path / "file").read_text() == "new" and not (tmp_path / "file").is_symlink()


def test_control_characters_are_escaped_and_read_as_they_were() -> None:
    text = "\x1b\x85\x9b\u202e\u2066é\u2028😀"
    line = dumps({"a": text})
    assert json.loads(line) == {"a": text}
    assert not set(line) & set("\x1b\x85\x9b\u202e\u2066")
    assert dumps({"a": "\x7f"}) == '{"a": "\\u007f"}'


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "x: No space left on device; free some space"),
        (RuntimeError("Error while serializing: I/O error: File too large (os error 27)"), "x: File too large; raise"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 7 vs 3"), "x: the file does not take"),
        (RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"), "x: the file does not take"),
        (RuntimeError("no disk in sight"), None),
    ],
)
def test_trouble_with_a_disk_is_told_whichever_library_met_it(error: Exception, says: str | None) -> None:
    told = disk_trouble(error, Path("x"))
    assert told is None if says is None else told.startswith(says)
