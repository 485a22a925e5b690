"""Several runs on one page: of label runs the pairs that they judge differently first, of training runs the curves together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rlaif.data.records import PreferenceRecord, beside_overall, read_records
from rlaif.errors import UsageError
from rlaif.evaluate import table
from rlaif.evaluate.findings import Finding, findings
from rlaif.evaluate.quality import quality
from rlaif.report.columns import Block, data, numbers
from rlaif.report.curves import Panel, against_kl, gained, panels
from rlaif.report.labels import judged_by, records
from rlaif.report.pairs import Pairs
from rlaif.report.questions import critics_of, questions_of
from rlaif.report.render import html
from rlaif.report.told import doubts, story
from rlaif.report.training import TrainingRun, facts, read_training

Judged = tuple[float, dict[str, float | None]]
"""Of one run on one pair: the probability that the lower index is better, overall and by principle."""


def labels(folders: Sequence[Path], max_pairs: int) -> str:
    """The page of label runs. Pairs are those of the first run that another one judged too.

    Raises UsageError where a folder holds no finished run with preferences, or the runs judged no pair in common.
    """
    names, judged = names_of(folders), [quality(folder) for folder in folders]
    others = [_by_id(folder) for folder in folders[1:]]
    shared = {name for other in others for name in other}
    questions = questions_of(folders[0], judged[0].run)
    pairs, beside = Pairs(questions), Beside(others)
    with questions:
        every = records(folders[0], judged[0].overall.verdicts, max_pairs)
        pairs.add(beside.watched(record for record in every if record.id in shared))
    if not beside.pairs:
        raise UsageError(f"{folders[0]} has judged no pair that another of the runs has; pairs are matched by their ids")
    runs = [each.run for each in judged]
    gold, gaps = (any(judged_by(each)[name] for each in judged) for name in ("has_gold", "has_gaps"))
    meta = {"runs": names, "critics": len(critics_of(runs[0]))}
    return html(
        "side_by_side",
        [*pairs.blocks(meta), *beside.blocks()],
        title=f"{' · '.join(names)}: side by side",
        names=names,
        story=beside.story(names),
        findings=[_of(name, finding) for name, each in zip(names, judged, strict=True) for finding in findings(each)],
        facts=_beside([table.summary(each) for each in judged]),
        differing=differing(runs),
        by_principle=beside.by_principle(),
        pairs={"total": beside.pairs, "shown": beside.pairs, "has_gaps": gaps, "has_gold": gold},
        has_curves=False,
    )


def training(folders: Sequence[Path]) -> str:
    """The page of training runs. Raises UsageError where a folder holds none."""
    return _training([read_training(folder) for folder in folders], names_of(folders))


def rounds(folder: Path, live: bool) -> str:
    """The page of training in rounds: the rounds' trainings over one another."""
    every = sorted(folder.glob("round-*/train"), key=lambda place: int(place.parent.name.partition("-")[2])) or [
        folder / "train"
    ]
    there = [place for place in every if (place / "run.json").is_file()]
    names = [f"round {number}" for number in range(1, len(there) + 1)]
    return _training([read_training(place) for place in there], names, folder.resolve().name, live)


def names_of(folders: Sequence[Path]) -> list[str]:
    """The folders' names, with as much of their paths as tells them apart."""
    paths = [folder.resolve() for folder in folders]
    for depth in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    raise UsageError(f"{folders[0]} is given twice; give different runs")


class Beside:
    """What other runs say of the first run's pairs, collected while these go by. others: of each, its judgements by id."""

    def __init__(self, others: Sequence[Mapping[str, Judged]]) -> None:
        self.pairs = 0
        self._others = others
        self._overall: list[list[float]] = [[] for _ in others]
        self._verdicts: list[list[float]] = [[] for _ in others]
        self._turned = [0 for _ in others]
        self._shared = [0 for _ in others]
        self._by_principle: list[Counter[str]] = [Counter() for _ in others]
        self._principles: dict[str, None] = {}

    def watched(self, records: Iterator[PreferenceRecord]) -> Iterator[PreferenceRecord]:
        for record in records:
            self.pairs += 1
            low_chosen = record.chosen_index < record.rejected_index
            for number, other in enumerate(self._others):
                theirs = other.get(record.id, (math.nan, {}))
                p = turned_to(theirs[0], low_chosen)
                self._overall[number].append(p)
                self._shared[number] += p == p
                self._turned[number] += (record.p_chosen - 0.5) * (p - 0.5) < 0
                for verdict in record.principles:
                    self._principles.setdefault(verdict.id)
                    of_principle = turned_to(theirs[1].get(verdict.id), low_chosen)
                    self._verdicts[number].append(of_principle)
                    if verdict.p is not None:
                        self._by_principle[number][verdict.id] += (verdict.p - 0.5) * (of_principle - 0.5) < 0
            yield record

    def blocks(self) -> Iterator[Block]:
        for number in range(len(self._others)):
            yield numbers(f"p_{number + 1}", self._overall[number], "f4")
            yield numbers(f"verdict_p_{number + 1}", self._verdicts[number], "f4")

    def story(self, names: Sequence[str]) -> list[str]:
        told = zip(names[1:], self._shared, self._turned, strict=True)
        return [
            f"{name} judged {shared:,} of the pairs of {names[0]} too, and prefers the other response in {turned:,} of them"
            f"{f' ({turned / shared:.1%})' if shared else ''}."
            for name, shared, turned in told
        ]

    def by_principle(self) -> list[list[str]]:
        """A row for each principle: how many verdicts the other runs turn over."""
        return [[beside_overall(name), *(f"{counted[name]:,}" for counted in self._by_principle)] for name in self._principles]


def turned_to(p: float | None, low_chosen: bool) -> float:
    """The probability that the first run's chosen response is better, from that of the lower index; NaN where there is none."""
    return math.nan if p is None else p if low_chosen else 1.0 - p


def differing(runs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """What the runs were made with, where they differ: rows of (setting, one value for each run)."""
    said = [{"constitution": (run.get("constitution") or {}).get("digest"), **(run.get("config") or {})} for run in runs]
    names = dict.fromkeys(name for each in said for name in each if name not in ("out", "overwrite", "store"))
    rows = [[name, *(_text(each.get(name)) for each in said)] for name in names]
    return [row for row in rows if len(set(row[1:])) > 1]


def _training(runs: Sequence[TrainingRun], names: Sequence[str], title: str | None = None, live: bool = False) -> str:
    panels_by: dict[str, Panel] = {}
    for name, run in zip(names, runs, strict=True):
        for panel in [each for some in panels(run.metrics, run.groups) for each in some]:
            for one in panel.series:
                key = panel.title if len(panel.series) == 1 else f"{panel.title}: {one.name}"
                shown = panels_by.setdefault(key, Panel(key, [], panel.note))
                shown.series.append(one._replace(name=name))
    every = list(panels_by.values())
    main = {group.title for run in runs for group in run.groups}
    first = [panel for panel in every if panel.title.split(":")[0] in main]
    for metric in ("heldout_second_reward", "heldout_reward"):
        called = {name: found for name, run in zip(names, runs, strict=True) if (found := gained(run.metrics, metric))}
        if apart := against_kl(called):
            apart.title = f"{apart.title}: {'second judge' if 'second' in metric else 'reward'}"
            first.insert(0, apart)
    content = {
        "panels": [panel.plain() for panel in first],
        "more": [panel.plain() for panel in every if panel not in first],
        "samples": [],
    }
    told = zip(names, runs, strict=True)
    return html(
        "side_by_side",
        [data("training", content)],
        live=live,
        title=f"{title or ' · '.join(names)}: side by side",
        names=names,
        story=[f"{name}: {' '.join(sentences)}" for name, run in told if (sentences := story(run.run, run.metrics))],
        findings=[
            _of(name, finding)
            for name, run in zip(names, runs, strict=True)
            for finding in doubts(run.run, run.metrics, run.warnings)
        ],
        facts=_beside([facts(run) for run in runs]),
        differing=differing([run.run for run in runs]),
        by_principle=[],
        pairs=None,
        has_curves=bool(first),
    )


def _by_id(folder: Path) -> dict[str, Judged]:
    return {
        record.id: (
            turned_to(record.p_chosen, record.chosen_index < record.rejected_index),
            {
                verdict.id: None if verdict.p is None else turned_to(verdict.p, record.chosen_index < record.rejected_index)
                for verdict in record.principles
            },
        )
        for record in read_records(folder / "preferences.jsonl", PreferenceRecord)
    }


def _beside(told: Sequence[Sequence[tuple[str, str]]]) -> list[list[str]]:
    """Facts as rows: the name, then each run's."""
    names = dict.fromkeys(name for facts in told for name, _ in facts)
    return [[name, *(dict(facts).get(name, "–") for facts in told)] for name in names]


def _of(name: str, finding: Finding) -> Finding:
    return finding._replace(text=f"{name}: {finding.text}")


def _text(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else "–" if value is None else str(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
