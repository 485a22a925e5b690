"""The report of a training run: what happened in words, its curves, its samples step by step; and of a run that still labels,
how far it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaif.data.write import dumps
from rlaif.report.columns import data
from rlaif.report.curves import OFFLINE, ON_POLICY, Group, Metrics, Panel, against_kl, gained, metrics_of, panels
from rlaif.report.render import html, read_record
from rlaif.report.told import doubts, story

MAX_TEXT = 4000
"""Characters of a sample that the page holds."""
_MAX_SAMPLES = 40
"""Evaluations of which the samples are shown, evenly spaced; the first and the last are among them."""
_COUNTS = (
    Group("Verdicts", {"verdicts": "there", "failed": "failed"}),
    Group("Where they came from", {"asked": "asked", "cached": "from the store"}, "Calls."),
    Group("Rows", {"rows_in": "read", "rows_out": "preferences", "rows_failed": "unusable"}),
)


@dataclass(frozen=True)
class TrainingRun:
    """A training run's files. run: ``run.json``."""

    folder: Path
    run: Mapping[str, Any]
    metrics: Metrics
    samples: Sequence[Mapping[str, Any]]
    warnings: Sequence[Mapping[str, Any]]

    @property
    def name(self) -> str:
        return self.folder.resolve().name

    @property
    def on_policy(self) -> bool:
        return "kl" in self.metrics or "heldout_kl" in self.metrics

    @property
    def groups(self) -> Sequence[Group]:
        return ON_POLICY if self.on_policy else OFFLINE

    def judges(self) -> dict[str, str]:
        """The held-out rewards, and what the page calls them."""
        second = (self.run.get("second") or {}).get("reward")
        return {"heldout_reward": "reward", "heldout_second_reward": f"second judge{f' ({second})' if second else ''}"}


def read_training(folder: Path) -> TrainingRun:
    """Whatever there is of a training run, finished or not. Raises UsageError where the folder holds none."""
    run = read_record(folder)
    samples = read_lines(folder / "samples.jsonl") if run.get("kind") == "train" else []
    metrics = metrics_of(read_lines(folder / "metrics.jsonl"))
    return TrainingRun(folder, run, metrics, samples, read_lines(folder / "warnings.jsonl"))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSONL file; a line that is not whole, because the run writes it just now, ends them."""
    entries: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                entry = json.loads(line)
                if isinstance(entry, dict):
                    entries.append(entry)
    except FileNotFoundError:
        pass
    except ValueError:
        pass
    return entries


def report(folder: Path, live: bool = False) -> str:
    """The page. Raises UsageError where the folder holds no training run."""
    this = read_training(folder)
    grouped, others = panels(this.metrics, this.groups)
    if this.on_policy:
        called = {told: found for name, told in this.judges().items() if (found := gained(this.metrics, name))}
        grouped[2:2] = [panel for panel in [against_kl(called)] if panel]
    for panel in (*grouped, *others):
        panel.marks = marks(this) if panel.x == "step" else []
    content = {
        "panels": [panel.plain() for panel in grouped],
        "more": [panel.plain() for panel in others],
        "samples": samples(this.samples),
    }
    return html(
        "training",
        [data("training", content)],
        live=live,
        run=this.run,
        name=this.name,
        title=f"{this.name}: report",
        story=story(this.run, this.metrics),
        findings=doubts(this.run, this.metrics, this.warnings),
        facts=facts(this),
        warnings=this.warnings[-500:],
        has_samples=bool(content["samples"]),
        has_curves=bool(grouped),
        has_more=bool(others),
        made=made(this.run),
    )


def counts(folder: Path) -> str:
    """The page of a label run that goes on: its counts over the seconds, from ``metrics.jsonl`` as far as it is written."""
    run, path = read_record(folder), folder / "metrics.jsonl"
    entries = read_lines(path.with_name(f"{path.name}.part")) or read_lines(path)
    metrics = metrics_of([{**entry, "step": entry.get("seconds")} for entry in entries])
    shown: list[Panel] = panels(metrics, _COUNTS)[0]
    for panel in shown:
        panel.x = "seconds"
    last = entries[-1] if entries else {}
    told = [f"{last.get('rows_in', 0):,} rows are read, {last.get('verdicts', 0):,} verdicts are there."] if last else []
    return html(
        "training",
        [data("training", {"panels": [panel.plain() for panel in shown], "more": [], "samples": []})],
        live=True,
        run=run,
        name=folder.resolve().name,
        title=f"{folder.resolve().name}: labelling",
        story=[*story(run, {}), *told],
        findings=[],
        facts=[("critic", run.get("critic") or "?"), ("source", run.get("source") or "?")],
        warnings=[],
        has_samples=False,
        has_curves=bool(shown),
        has_more=False,
        made=[],
    )


def marks(this: TrainingRun) -> list[dict[str, Any]]:
    """The monitor's warnings on the time line, and the step whose policy is the model."""
    found = [
        {"x": warning.get("step", 0), "text": str(warning.get("warning")), "kind": "warned"} for warning in this.warnings[-200:]
    ]
    step = this.run.get("model_of_step")
    return [*found, *([{"x": step, "text": f"the model is of step {step}", "kind": "kept"}] if step is not None else [])]


def facts(this: TrainingRun) -> list[tuple[str, str]]:
    """The run in a few facts."""
    run, known = this.run, this.run.get("data") or {}
    steps = max((column[0][-1] for column in this.metrics.values()), default=0)
    told = [
        ("method", run.get("method")),
        ("status", run.get("status")),
        ("steps", f"{run.get('steps') or int(steps):,}"),
        ("rows", f"{known['used']:,}" if isinstance(known.get("used"), int) else None),
        ("held out", f"{known['held_out']:,}" if isinstance(known.get("held_out"), int) else None),
        ("learning rate", f"{run['learning_rate']:g}" if isinstance(run.get("learning_rate"), float) else None),
        ("reward", (run.get("reward") or {}).get("reward")),
        ("second judge", (run.get("second") or {}).get("reward")),
        ("warnings", f"{len(this.warnings):,}" if this.on_policy else None),
        ("time", f"{run.get('seconds', 0):,.0f} s"),
    ]
    return [(name, str(value)) for name, value in told if value is not None]


def made(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where the run came from, for the end of the page."""
    told = [("from", run.get("source")), ("base", run.get("base")), ("seed", run.get("seed"))]
    return [(name, str(value)) for name, value in told if value is not None]


def samples(entries: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was said to each prompt, step by step: [{id, prompt, steps: [{step, response, ended, scores}]}]."""
    steps = sorted({entry["step"] for entry in entries if isinstance(entry.get("step"), int)})
    if len(steps) > _MAX_SAMPLES:
        steps = [steps[round(at * (len(steps) - 1) / (_MAX_SAMPLES - 1))] for at in range(_MAX_SAMPLES)]
    prompts: dict[str, dict[str, Any]] = {}
    for entry in entries:
        if entry.get("step") not in steps:
            continue
        turns = [[str(turn["role"]), str(turn["content"])[:MAX_TEXT]] for turn in entry.get("prompt", ())]
        key = dumps([entry.get("id"), turns])
        of_prompt = prompts.setdefault(key, {"id": entry.get("id"), "prompt": turns, "steps": []})
        second = (entry.get("second") or {}).get("reward")
        scores = {"reward": entry.get("reward"), **({"second judge": second} if "second" in entry else {})}
        response = str(entry.get("response", ""))[:MAX_TEXT]
        of_prompt["steps"].append(
            {"step": entry["step"], "response": response, "ended": bool(entry.get("ended")), "scores": scores}
        )
    return list(prompts.values())
