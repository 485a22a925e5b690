"""One step of a comparison: a command with its settings, what it would cost, and what it did cost."""

from __future__ import annotations

import gc
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rlaif.api.training import configuration_of, train_configured
from rlaif.compare.config import CompareConfig
from rlaif.compare.files import WRITERS, is_paired_file, read_jsonl
from rlaif.compare.recipes import ROWS, Step
from rlaif.config_file import shown
from rlaif.data.write import atomic_write
from rlaif.errors import RunFailed, UsageError
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.progress import Progress
from rlaif.rl.config import RlConfig
from rlaif.sample.config import SampleConfig
from rlaif.sample.run import run_sample
from rlaif.settings import configure, flat, resumable, settings_of
from rlaif.train.config import TrainConfig
from rlaif.train.feedback import RoundsConfig

ROLLOUTS = 64
"""Responses in an iteration of an on-policy method."""
OWN = ("source", "out", "columns", "limit", "overwrite", "seed", "settings")
"""Settings of the comparison that mean something else in a step."""


class Place(NamedTuple):
    """A seed's folder. steps: all steps by name. given: settings of steps from the user's file."""

    config: CompareConfig
    folder: Path
    seed: int
    steps: Mapping[str, Step]
    given: Mapping[str, Mapping[str, Any]]

    def out(self, name: str) -> Path:
        """What the step of that name writes: a file, or a run's folder."""
        command = "rows" if name == ROWS else self.steps[name].command
        ending = WRITERS[command][0] if command in WRITERS else ".jsonl" if command in ("rows", "sample") else ""
        return self.folder / f"{name}{ending}"

    def record(self, name: str) -> Path:
        """Where it stands that the step is done, and what it took."""
        return self.folder / f"{name}.step.json"

    def settings(self, name: str) -> dict[str, Any]:
        """The recipe's own, with paths in them."""
        step = self.steps[name]
        outs = {need: str(self.out(need)) for need in step.needs}
        return {key: value.format(**outs) if isinstance(value, str) else value for key, value in step.settings.items()}

    def wider(self, step: Step) -> dict[str, Any]:
        """The user's settings of several steps, as far as this one has them."""
        given = {key: value for group in groups_of(step) for key, value in self.given.get(group, {}).items()}
        return {key: value for key, value in given.items() if key in settings_of(kind_of(step.command))}

    def responses(self) -> int:
        """Of the policy, to learn from: the budget, or less where there are too few rows."""
        rows = sum(1 for _ in read_jsonl(self.out(ROWS)))
        return rows * (2 if is_paired_file(self.out(ROWS)) else self.config.drawing.samples)


def configured(place: Place, name: str) -> Any:
    """The configuration of a step that is a command: the recipe's settings, then the user's, then the comparison's own.

    Raises UsageError for settings that the command has not, or that do not go together.
    """
    step = place.steps[name]
    kind = kind_of(step.command)
    known, own = settings_of(kind), flat(place.config)
    shared = {key: value for key, value in own.items() if key in known and key not in OWN}
    if "labels" in known and "critic_labels" not in known and issubclass(kind, LabelConfig | RlConfig):
        shared["labels"] = own["critic_labels"]
    settings = {
        **shared,
        "seed": place.seed,
        **place.wider(step),
        **place.settings(name),
        **_pairs(place, step),
        **place.given.get(name, {}),
        "out": place.out(name),
    }
    if issubclass(kind, RlConfig):
        settings = _on_policy(place, kind, settings)
    return configure(kind, **settings)


def kind_of(command: str) -> type:
    """The configuration class of a command."""
    kinds = {"sample": SampleConfig, "label": LabelConfig}
    return kinds[command] if command in kinds else configuration_of(command.removeprefix("train "))


def groups_of(step: Step) -> list[str]:
    """Names that stand for several steps, this one among them, in the user's file: ``train`` and ``on-policy``."""
    if not step.command.startswith("train "):
        return []
    return ["train", "on-policy"] if issubclass(kind_of(step.command), RlConfig) else ["train"]


def _pairs(place: Place, step: Step) -> dict[str, Any]:
    """Half as many pairs as responses: both orders of them are as many questions as the responses' own scores."""
    paired = place.steps["responses"].needs == (ROWS,)
    return {"pairs": "all" if paired else str(max(1, place.config.drawing.samples // 2))} if step.command == "label" else {}


def _on_policy(place: Place, kind: type[RlConfig], settings: dict[str, Any]) -> dict[str, Any]:
    """With as many iterations as the budget's responses fill."""
    responses = place.responses()
    grouped = settings_of(kind)["samples"].default > 1
    samples = settings["samples"] = settings["samples"] if grouped else 1
    batch = settings.setdefault("batch_size", max(1, min(ROLLOUTS, responses) // samples))
    settings.setdefault("steps", max(1, responses // (samples * batch)))
    settings.setdefault("eval_prompts", 0)
    return settings


def run_step(place: Place, name: str, progress: Progress) -> dict[str, float]:
    """Run a step, or continue it, or do nothing where it is done; returns what it took.

    ``seconds``, ``cpu_seconds``, ``peak_bytes`` (0 where unknown), and what the step says itself. A start that was stopped
    counts to the seconds, one that was killed does not.

    Raises UsageError where the step was done with other settings, RunFailed where it cannot be finished.
    """
    step, path = place.steps[name], place.record(name)
    writes = step.command in WRITERS
    what = {"command": step.command, **(place.settings(name) if writes else shown(configured(place, name)))}
    what = json.loads(json.dumps(what, default=str))
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"what": what, "took": {}}
    free: frozenset[str] = frozenset() if writes else resumable(kind_of(step.command))
    then = {key: value for key, value in before["what"].items() if key not in free}
    if others := [key for key, value in what.items() if key in then and then[key] != value]:
        was, now = then[others[0]], what[others[0]]
        raise UsageError(f"{path}: was made with {others[0]} {was!r}, not {now!r}; give another --out, or --overwrite")
    if before.get("done"):
        return dict(before["took"])
    took: dict[str, float] = dict(before["took"])

    def note(done: bool) -> None:
        with atomic_write(path) as file:
            json.dump({"what": what, "done": done, "took": took}, file, indent=1)

    try:
        with measured(took):
            if writes:
                took |= WRITERS[step.command][1](place.config, place.settings(name), place.out(name), place.seed)
            else:
                _run(place, name, progress)
    except BaseException as error:
        with suppress(OSError):
            note(False)
        if isinstance(error, UsageError):  # the settings were checked before; it is what an earlier step made
            raise RunFailed(str(error)) from error
        raise
    note(True)
    return took


def _run(place: Place, name: str, progress: Progress) -> None:
    config = configured(place, name)
    if isinstance(config, SampleConfig):
        run_sample(config, progress)
    elif isinstance(config, LabelConfig):
        run_label(config, progress)
    else:
        assert isinstance(config, TrainConfig | RlConfig | RoundsConfig)
        train_configured(config, progress)
        shutil.rmtree(place.out(name) / "checkpoints", ignore_errors=True)  # they are for going on, and are many


@contextmanager
def measured(took: dict[str, float], status: Path = Path("/proc/self/status")) -> Iterator[None]:
    """Add the block's ``seconds`` and ``cpu_seconds`` to ``took``; its ``peak_bytes`` are the most that the process held at
    once (a GPU's memory where there is one), Python and libraries included. Linux alone tells the peak of a part of a process.
    """
    gc.collect()
    _reset_peak(status)
    began, cpu = time.monotonic(), time.process_time()
    try:
        yield
    finally:
        took["seconds"] = round(took.get("seconds", 0) + time.monotonic() - began, 3)
        took["cpu_seconds"] = round(took.get("cpu_seconds", 0) + time.process_time() - cpu, 3)
        took["peak_bytes"] = max(took.get("peak_bytes", 0), _peak(status))


def _reset_peak(status: Path) -> None:
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        status.with_name("clear_refs").write_text("5")  # sets VmHWM to what is held now (proc(5))


def _peak(status: Path) -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    with suppress(OSError):
        lines = status.read_text().splitlines()
        return 1024 * next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)
    return 0
