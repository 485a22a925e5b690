"""``rlaif revise``: critique and revision by a constitution; the revisions that the critic prefers are the dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlaif.cli.flags import from_config
from rlaif.label.config import ReviseConfig


def _revise(config: ReviseConfig) -> None:
    from rlaif.cli.console import Console
    from rlaif.cli.progress import TrainProgress
    from rlaif.label.revise_run import Progress, run_revise

    with TrainProgress(Console(stderr=True), ("failed", "unchanged", "confirmed", "rejected")) as bar:
        run = run_revise(config, Progress(bar.stage, bar.update))
    _print_result(config.out, run["revisions"], run["commonest_failures"])


revise = from_config(ReviseConfig, _revise, "revise")
revise.__doc__ = """Criticise and revise responses by a constitution; keep what the critic prefers, as pairs and for SFT.

Running the same command again asks nothing twice: every answer is kept in the verdict store.
"""


def _print_result(out: Path, found: dict[str, Any], troubles: list[str]) -> None:
    from rich.table import Table

    from rlaif.cli.console import Console

    table = Table("principle", "drawn", "changed", "confirmed")
    for name, counts in found["by_principle"].items():
        table.add_row(name, *(f"{counts[column]:,}" for column in ("drawn", "changed", "confirmed")))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"{found['responses']} responses: {found['confirmed']} revisions confirmed, {found['rejected']} rejected, "
        f"{found['unjudged']} not judged, {found['unchanged']} left as they were, {found['failed']} failed"
    )
    for trouble in troubles:
        console.print(trouble, markup=False)
    for what, name in (
        ("pairs", "preferences.jsonl"),
        ("for SFT", "sft.jsonl"),
        ("rejected", "rejected.jsonl"),
        ("failures", "failures.jsonl"),
        ("report", "report.html"),
    ):
        console.print(f"{what:9}{out / name}", markup=False)
