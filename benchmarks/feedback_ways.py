"""The ways of asking that ``benchmarks/feedback.py`` compares: each is a ``rlaif label`` command over the same pairs."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import NamedTuple

import typer

from benchmarks.lab_grid import CONSTITUTION
from rlaif.cli.label import label
from rlaif.data.records import OVERALL, PreferenceRecord, read_records
from rlaif.errors import RunFailed

SEED = 1
"""Of the second critic and of the second fallible one; the shipped ones are of seed 0."""
MODELS = f"seed-{SEED}"
"""Folder of the second models, in the benchmark's."""

Verdicts = Mapping[tuple[int, str], float]
"""By source row and principle (or ``overall``): the probability that the response which gold prefers is better."""


class Way(NamedTuple):
    """flags: of ``rlaif label``, where ORDER stands for each order in turn and FOLDER for the benchmark's folder."""

    name: str
    flags: str

    def commands(self, folder: Path) -> list[str]:
        """The flags of each run, one or two."""
        spelled = self.flags.replace("FOLDER", str(folder))
        return [spelled.replace("ORDER", order) for order in ("ab", "ba")] if "ORDER" in spelled else [spelled]


class Asked(NamedTuple):
    """What came of a way. runs: verdicts, of one run or of one for each order. calls: per pair. failed: share of verdicts."""

    runs: list[Verdicts]
    pairs: int
    calls: float
    failed: float


SECOND, SECOND_FALLIBLE = f"FOLDER/{MODELS}/critic", f"FOLDER/{MODELS}/fallible"
BOTH_FALLIBLE = f"--critic lab:fallible --critic {SECOND_FALLIBLE}"
REASONS = "--critic lab --reasons --reasons-tokens 24 --limit 50"
WAYS = (
    Way("good, one order", "--critic lab --orders ORDER"),
    Way("good", "--critic lab"),
    Way("second, one order", f"--critic {SECOND} --orders ORDER"),
    Way("second", f"--critic {SECOND}"),
    Way("fallible, one order", "--critic lab:fallible --orders ORDER"),
    Way("fallible", "--critic lab:fallible"),
    Way("jury: good + second, one order", f"--critic lab --critic {SECOND} --orders ORDER"),
    Way("jury: good + second", f"--critic lab --critic {SECOND}"),
    Way("jury: good + fallible", "--critic lab --critic lab:fallible"),
    Way("jury: both fallible, one order", f"{BOTH_FALLIBLE} --orders ORDER"),
    Way("jury: both fallible", BOTH_FALLIBLE),
    Way("good, scores", "--critic lab --mode score"),
    Way("fallible, scores", "--critic lab:fallible --mode score"),
    Way("good, rankings", "--critic lab --mode rank --limit 50"),
    Way("good, reasons", REASONS),
    Way("good, reasons, clamped", f"{REASONS} --clamp .4 .6"),
    Way("good, reasons, 3 votes", f"{REASONS} --votes 3"),
    Way("good, 1 shot", "--critic lab --shots 1 --limit 200"),
    Way("good, 2 shots", "--critic lab --shots 2 --limit 200"),
    Way("good, equal weights", "--critic lab --constitution FOLDER/equal.yaml"),
    Way("good, fitted weights", "--critic lab --constitution FOLDER/fitted.yaml"),
    Way("good, sampled", "--critic lab --aggregate sampled"),
    Way("good, worst", "--critic lab --aggregate worst"),
)
CHANGES = (
    ("both orders, good", "good", "good, one order"),
    ("both orders, second", "second", "second, one order"),
    ("both orders, fallible", "fallible", "fallible, one order"),
    ("both orders, jury of good + second", "jury: good + second", "jury: good + second, one order"),
    ("both orders, jury of both fallible", "jury: both fallible", "jury: both fallible, one order"),
    ("second beside good", "jury: good + second", "good"),
    ("fallible beside good", "jury: good + fallible", "good"),
    ("good beside fallible", "jury: good + fallible", "fallible"),
    ("second fallible beside fallible", "jury: both fallible", "fallible"),
    ("a jury in one order for one critic in both, fallible", "jury: both fallible, one order", "fallible"),
    ("scores for comparisons, good", "good, scores", "good"),
    ("scores for comparisons, fallible", "fallible, scores", "fallible"),
    ("rankings for comparisons", "good, rankings", "good"),
    ("reasons", "good, reasons", "good"),
    ("clamped reasons for reasons", "good, reasons, clamped", "good, reasons"),
    ("3 votes for 1", "good, reasons, 3 votes", "good, reasons"),
    ("1 shot", "good, 1 shot", "good"),
    ("2 shots", "good, 2 shots", "good"),
    ("fitted weights for equal", "good, fitted weights", "good, equal weights"),
    ("fitted weights for the constitution's", "good, fitted weights", "good"),
    ("the constitution's weights for equal", "good", "good, equal weights"),
    ("one sampled principle for all", "good, sampled", "good"),
    ("the worst principle for all", "good, worst", "good"),
)
"""(what is changed, the way with it, the way without)."""


def build(folder: Path) -> list[str]:
    """Train the second models where they are not there yet; returns the commands."""
    commands = []
    for name in ("critic", "fallible"):
        arguments = ["lab", "build", "--only", name, "--seed", str(SEED), "--out", str(folder / MODELS)]
        commands.append(shlex.join(["rlaif", *arguments]))
        if not (folder / MODELS / name / "config.json").is_file():
            subprocess.run([sys.executable, "-m", "rlaif", *arguments], check=True)
    return commands


def ask(way: Way, source: Path, folder: Path) -> Asked:
    """Run the way's commands over ``source``; what the store of ``folder`` knows is not asked again."""
    runs, calls, failed, wanted, pairs = [], 0, 0, 0, 0
    for number, flags in enumerate(way.commands(folder)):
        out = folder / "ways" / f"{way.name}-{number}".replace(" ", "-").replace(",", "").replace(":", "")
        arguments = [str(source), *shlex.split(flags), "--out", str(out), "--store", str(folder / "verdicts.sqlite")]
        if "--constitution" not in flags:
            arguments += ["--constitution", str(CONSTITUTION)]
        with redirect_stdout(io.StringIO()), suppress(RunFailed):  # a way in which every verdict fails has a row too
            _app([*arguments, "--overwrite", "--max-failure-rate", "1"], standalone_mode=False)
        counts = json.loads((out / "run.json").read_text())["counts"]
        runs.append(verdicts(out))
        pairs = counts["rows_in"]
        calls += counts["asked"] + counts["cached"]
        failed += counts["failed"]
        wanted += counts["failed"] + counts["verdicts"]
    return Asked(runs, pairs, calls / len(runs) / pairs, failed / wanted)


def verdicts(run: Path) -> Verdicts:
    """The run's verdicts where gold differs, each turned to gold's side."""
    found = {}
    for record in read_records(run / "preferences.jsonl", PreferenceRecord):
        margins = record.gold_margins | {OVERALL: record.gold_margin}
        said = {verdict.id: verdict.p for verdict in record.principles} | {OVERALL: record.p_chosen}
        for name, p in said.items():
            margin = margins.get(name)
            if p is not None and margin:
                found[record.row, name] = p if margin > 0 else 1.0 - p
    return found


_app = typer.Typer(pretty_exceptions_enable=False)
_app.command()(label)
