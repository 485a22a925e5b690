"""What follows from a label run's records once they are written: other forms of them, the dataset card, the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rlaif.critic.modes import MODES
from rlaif.data.card import card
from rlaif.data.exports import EXPORTS, write_export
from rlaif.data.parquet import write_parquet
from rlaif.data.run_folder import RunFolder
from rlaif.data.tools import TOOLS, remove_tool, write_tool
from rlaif.data.write import atomic_write
from rlaif.errors import RunFailed, without_secrets
from rlaif.evaluate.findings import findings
from rlaif.evaluate.judgement import Quality
from rlaif.evaluate.quality import as_markdown, quality
from rlaif.label.config import LabelConfig, ReviseConfig
from rlaif.report.page import OWN_PAIRS, write_report


def conclude(
    folder: RunFolder,
    config: LabelConfig | ReviseConfig,
    facts: dict[str, Any],
    stopped: RunFailed | None,
    judged: Quality | None = None,
) -> Quality:
    """Write what follows from the records, and ``run.json``. Raises ``stopped`` if the run was.

    judged: the records' figures, where they have been gathered. They are returned with the content of ``run.json``.
    """
    if stopped:
        folder.write("failed", {**facts, "error": without_secrets(str(stopped))})
        raise stopped
    _derive(config)
    run = folder.write("finished", facts)
    judged = replace(judged, run=run) if judged else quality(config.out)
    _describe(config.out, judged)
    return judged


def _derive(config: LabelConfig | ReviseConfig) -> None:
    """The same records in other forms; those that an earlier run of the same source was asked for, and this is not, go."""
    write_parquet(config.out / "preferences.jsonl", config.out / "preferences.parquet")
    if MODES[config.critic.mode].scores:
        write_parquet(config.out / "scores.jsonl", config.out / "scores.parquet")
    for name in EXPORTS:
        if name in config.export:
            write_export(name, config.out)
        else:
            for suffix in (".jsonl", ".parquet"):
                (config.out / f"{name}{suffix}").unlink(missing_ok=True)
    for name in TOOLS:
        if name in config.export:
            write_tool(name, config.out)
        else:
            remove_tool(name, config.out)


def _describe(folder: Path, judged: Quality) -> None:
    """The dataset card and the report."""
    doubts = [finding.sentence for finding in findings(judged)]
    with atomic_write(folder / "README.md") as file:
        file.write(card(judged.run, as_markdown(judged), doubts, scored=(folder / "scores.jsonl").is_file()))
    write_report(folder, max_pairs=OWN_PAIRS, judged=judged)
