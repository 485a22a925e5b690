"""``rlaif label`` as a function: rows in, a dataset of preferences out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import datasets

from rlaif.api.inputs import Rows, constitution_of, source_of
from rlaif.constitution.types import Constitution
from rlaif.data.records import FailureRecord, read_records
from rlaif.label.config import LabelConfig
from rlaif.settings import configure

if TYPE_CHECKING:
    from rlaif.progress import Progress


class Preferences(datasets.Dataset):  # type: ignore[misc]  # datasets is not typed
    """The preferences of a labelling run, held in memory; what ``map``, ``filter`` and so on make of it is a plain Dataset.

    run: the content of ``run.json``. failures: the entries of ``failures.jsonl``. scores: with ``mode="score"`` what the critic
    said of each response, else None.
    """

    run: Mapping[str, Any]
    failures: Sequence[FailureRecord]
    scores: datasets.Dataset | None


def label(
    rows: Rows,
    constitution: str | Path | Constitution,
    *,
    critic: str | Sequence[str],
    out: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Preferences:
    """Have a critic judge responses by a constitution, as ``rlaif label`` does.

    rows: a path, a ``datasets`` name, a list of dicts or a ``datasets.Dataset``, of any shape that docs/rows.md accepts.
    constitution: a path, a shipped constitution's name, or a ``Constitution``. critic: one, or several for a jury.
    out: the run's folder, kept; without it nothing is kept but the answers in the verdict store. Rows and constitutions that
        come from memory are written beside ``out``, so that the command line can continue the run.
    settings: of ``rlaif label``, by name.

    Safe where an event loop is running. Raises UsageError and RunFailed as the command does; then nothing that was answered is
    lost, and the same call continues.
    """
    from rlaif.label.run import run_label

    with _folder(out) as (parent, folder):
        config = configure(
            LabelConfig,
            source=source_of(rows, parent, folder.name),
            constitution=constitution_of(constitution, parent, folder.name),
            critic=critic,
            out=folder,
            **settings,
        )
        run = run_label(config, progress)
        preferences = Preferences(_table(folder / "preferences.parquet"))
        preferences.run = run
        preferences.failures = list(read_records(folder / "failures.jsonl", FailureRecord))
        scores = folder / "scores.parquet"
        preferences.scores = datasets.Dataset(_table(scores)) if scores.is_file() else None
    return preferences


@contextmanager
def _folder(out: str | Path | None) -> Iterator[tuple[Path, Path]]:
    """Where rows in memory go, and the run's folder."""
    if out is not None:
        yield Path(out).parent, Path(out)
    else:
        with TemporaryDirectory(prefix="rlaif-") as temporary:
            yield Path(temporary), Path(temporary) / "run"


def _table(path: Path) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path, memory_map=False)
