"""``rlaif revise``: critique and revision by a constitution; the revisions that the critic prefers are the dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rlaif.cli.cost import print_cost
from rlaif.cli.echo import suggest
from rlaif.cli.flags import DRY_RUN, from_config
from rlaif.label.config import ReviseConfig


def _revise(config: ReviseConfig, dry_run: bool) -> None:
    if dry_run:
        from rlaif.cost import revise_cost

        print_cost(revise_cost(config))
        return
    from rlaif.cli.console import Console
    from rlaif.cli.progress import ProgressBar
    from rlaif.label.revise_run import run_revise
    from rlaif.progress import Progress

    shown = ("failed", "unchanged", "confirmed", "rejected")
    with ProgressBar(Console(stderr=True), "opening the critic and the reviser", shown) as bar:
        run = run_revise(config, Progress(bar.stage, bar.update))
    _print_result(config.out, run["revisions"], run["commonest_failures"])


revise = from_config(ReviseConfig, _revise, "revise", [DRY_RUN])
revise.__doc__ = """Criticise and revise responses by a constitution; keep what the critic prefers, as pairs and for SFT.

Running the same command again asks nothing twice: every answer is kept in the verdict store.
"""


def _print_result(out: Path, counted: dict[str, Any], troubles: list[str]) -> None:
    from rich.table import Table

    from rlaif.cli.console import Console, print_paths

    table = Table("principle", "drawn", "changed", "confirmed")
    for name, counts in counted["by_principle"].items():
        table.add_row(name, *(f"{counts[column]:,}" for column in ("drawn", "changed", "confirmed")))
    console = Console(highlight=False, soft_wrap=True)
    console.print(table)
    console.print(
        f"{counted['responses']} responses: {counted['confirmed']} revisions confirmed, {counted['rejected']} rejected, "
        f"{counted['unjudged']} not judged, {counted['unchanged']} left as they were, {counted['failed']} failed"
    )
    for trouble in troubles:
        console.print(trouble, markup=False)
    print_paths(*((what, out / name) for what, name in FILES))
    suggest(f"rlaif train sft {out} --model MODEL --out {out}-sft")


FILES = (
    ("pairs", "preferences.jsonl"),
    ("for SFT", "sft.jsonl"),
    ("rejected", "rejected.jsonl"),
    ("failures", "failures.jsonl"),
    ("report", "report.html"),
)
