"""The report: one HTML file for a run or for several side by side, without a network or other files, and safe from the texts of
datasets and models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rlaif.data.inputs import refuse_inputs, refuse_others_file
from rlaif.data.run_folder import OUTPUTS
from rlaif.data.write import atomic_write
from rlaif.errors import UsageError
from rlaif.evaluate.judgement import Quality
from rlaif.report import labels, side_by_side, training
from rlaif.report.render import read_record

MAX_PAIRS = 100_000
OWN_PAIRS = 10_000
"""In the report that a run ends with: a page of more takes longer to write than its figures are worth waiting for."""
SIGN = b'<meta name="generator" content="rlaif">'


def write_report(
    run_folder: Path | Sequence[Path],
    out: Path | None = None,
    max_pairs: int = MAX_PAIRS,
    overwrite: bool = False,
    judged: Quality | None = None,
) -> Path:
    """Write a run's report, by default to ``report.html`` in its folder, and return where it is. Of several folders, a page
    that lays the runs side by side, by default ``report.html`` where the command runs.

    max_pairs: with more pairs than that, the page holds a random sample (the same one every time) and says so.
    overwrite: whether a file at ``out`` that is no report may be replaced. judged: a label run's figures, where they are known;
    else all of its records are read. Raises UsageError where it may not, where it is one of a run's own files, and where a
    folder holds no run that can be shown, or runs of different kinds.
    """
    folders = [run_folder] if isinstance(run_folder, Path) else list(run_folder)
    path = out or (folders[0] / "report.html" if len(folders) == 1 else Path("report.html"))
    if out or len(folders) > 1:
        refuse_inputs([folder / name for folder in folders for name in OUTPUTS if name != "report.html"], files=[path])
        if not overwrite:
            refuse_others_file(path, SIGN, "report of rlaif's")
    text = page(folders, max_pairs, judged=judged)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(text)
    return path


def page(folders: Sequence[Path], max_pairs: int = MAX_PAIRS, live: bool = False, judged: Quality | None = None) -> str:
    """The page of a run, or of several side by side. live: whether it asks for itself again while the run goes on."""
    kinds = [_kind(folder) for folder in folders]
    if len(set(kinds)) > 1:
        raise UsageError(f"{folders[0]} is a run that {_VERBS[kinds[0]]}, and not all the others are; give runs of one kind")
    if len(folders) > 1:
        return side_by_side.labels(folders, max_pairs) if kinds[0] == "label" else side_by_side.training(folders)
    folder, run = folders[0], read_record(folders[0])
    live = live and run.get("status") != "finished"
    if kinds[0] == "label":
        return training.counts(folder) if live else labels.report(folder, max_pairs, judged)
    return side_by_side.rounds(folder, live) if run.get("kind") == "rounds" else training.report(folder, live)


_VERBS = {"label": "labels", "train": "trains"}
_KINDS = {"label": "label", "revise": "label", "train": "train", "rounds": "train"}


def _kind(folder: Path) -> str:
    """Raises UsageError for a run that has another page, or none."""
    kind = read_record(folder).get("kind", "label")
    if kind not in _KINDS:
        where = "; README.md in it is its page" if (folder / "README.md").is_file() else ""
        raise UsageError(f"{folder}: a run of rlaif {kind} has no report{where}; give a run that labels or trains")
    return _KINDS[kind]
