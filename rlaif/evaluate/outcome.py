"""What a command of ``rlaif evaluate`` has found: for the terminal, for files, and for ``--require``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlaif.data.inputs import refuse_inputs
from rlaif.data.run_folder import RunFolder
from rlaif.data.write import atomic_write, dumps
from rlaif.errors import RunFailed
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.config import Outcome
from rlaif.evaluate.requirements import Range, missed, requirement
from rlaif.settings import resumable

_NAMED_OTHERWISE = frozenset(
    ("model", "engine", "dtype", "context", "critic_context", "gpu_memory", "tokenizer", "critic", "prompts")
    + ("reworder", "trust_remote_code")
)
"""Settings that the identities of models stand for where a run is continued, or that cannot shape it."""
FILE = "figures.json"
"""In the run's folder: the rows of the table."""


class Found(NamedTuple):
    """rows: of the table, with all that is known. cells: its text. figures: what can be required, by name. facts: lines below
    the table."""

    rows: Sequence[Any]
    cells: list[list[str]]
    figures: Mapping[str, Interval]
    facts: Sequence[str] = ()


def check(outcome: Outcome, measures: Mapping[str, Range], inputs: object) -> None:
    """Before anything is asked. Raises UsageError for a requirement that cannot be read, and a file of figures that would
    replace one of the inputs."""
    for text in outcome.require:
        requirement(text, measures)
    if outcome.json:
        refuse_inputs(inputs, files=[outcome.json])


def write(found: Found, outcome: Outcome, folder: Path | None) -> None:
    """Write the figures into the run's folder and to ``--json``."""
    text = dumps([as_json(row) for row in found.rows], indent=2) + "\n"
    for path in (folder / FILE if folder else None, outcome.json):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as file:
                file.write(text)


def hold(found: Found, outcome: Outcome, measures: Mapping[str, Range]) -> None:
    """Raises RunFailed where the figures are not what is required."""
    if unmet := missed(outcome.require, measures, found.figures):
        raise RunFailed(f"--require: {'; '.join(unmet)}")


def continued(folder: RunFolder, facts: Mapping[str, Any], config: object, models: Sequence[str]) -> None:
    """Write that the run is running. models: entries of ``facts`` that hold a model's identity.

    Raises UsageError where the folder holds a run that something else has shaped.
    """
    before = folder.read()
    same = [
        (f"another {name.replace('_', ' ')} ({before.get(name)}, not {facts[name]})", before.get(name), facts[name])
        for name in models
    ]
    same.append(("other rows in its source", before.get("source_digest"), facts["source_digest"]))
    folder.continued(facts["config"], _NAMED_OTHERWISE | resumable(type(config)), (), same)
    folder.write("running", facts)


def named(rows: Iterable[Any], whole: str, **measures: str) -> dict[str, Interval]:
    """Figures by name from the table's rows: ``MEASURE/ROW``, and ``MEASURE`` alone of the row called ``whole``.

    measures: the attribute of a row, an interval or a number, by the measure's name (``_`` for ``-``).
    """
    figures = {}
    for row in rows:
        for measure, attribute in measures.items():
            name = measure.replace("_", "-")
            value = getattr(row, attribute)
            interval = value if isinstance(value, Interval) else Interval(value, value, value)
            figures[name if row.name == whole else f"{name}/{row.name}"] = interval
    return figures


def as_json(value: Any) -> Any:
    """Rows and intervals as objects, NaN and infinities as null."""
    if hasattr(value, "_asdict"):
        return {name: as_json(inner) for name, inner in value._asdict().items()}
    if isinstance(value, Mapping):
        return {name: as_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
