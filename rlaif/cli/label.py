"""``rlaif label``: have a critic judge responses by a constitution, and write what it says as a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rlaif.cli.echo import suggest
from rlaif.cli.flags import DRY_RUN, from_config, option
from rlaif.errors import UsageError
from rlaif.label.config import LabelConfig

if TYPE_CHECKING:
    from rlaif.evaluate.judgement import Quality
    from rlaif.label.plan import DryRun

MOST_ROWS = 10
"""Of those that a dry run names."""


def _label(config: LabelConfig, dry_run: bool, gpu: str | None) -> None:
    from rlaif.cli.console import Console

    if dry_run:
        _print_dry_run(config, gpu)
        return
    if gpu:
        raise UsageError("--gpu says whose hours --dry-run tells: give --dry-run too")
    from rlaif.cli.progress import ProgressBar
    from rlaif.label.run import label
    from rlaif.progress import Progress

    with ProgressBar(Console(stderr=True), "opening the critic", ("failed", "dollars", "from the store", "verdicts")) as bar:
        judged = label(config, Progress(bar.stage, bar.update, bar.warn))
    _print_result(config.out, judged)


GPU = option("gpu", str | None, None, "With --dry-run: also the hours of this GPU, such as H100, or H100:8B to say the size.")
label = from_config(LabelConfig, _label, "label", [DRY_RUN, GPU])
label.__doc__ = """Judge responses by a constitution; write preferences, failures, a report and a dataset card.

Running the same command again asks nothing twice: every answer is kept in the verdict store.
"""


def _print_dry_run(config: LabelConfig, gpu: str | None) -> None:
    from rlaif.cli.console import Console
    from rlaif.label.plan import dry_run

    plan = dry_run(config, gpu)
    console = Console(highlight=False, soft_wrap=True)
    if plan.prompt:
        console.rule("the first prompt")
        console.print(plan.prompt, markup=False)
        console.rule()
    console.print(
        f"{plan.rows} rows ({plan.bad_rows} unusable) · {plan.verdicts} verdicts · {plan.questions} calls, "
        f"{plan.cached} of them answered in the store, {plan.questions - plan.cached} to ask · "
        f"about {plan.tokens:,} prompt tokens"
        + (f" · about ${plan.read:,.2f} to read them, at most ${plan.written:,.2f} for what is written" if plan.priced else "")
    )
    for line in _needs(plan, gpu):
        console.print(line)
    if plan.trouble:
        console.print(plan.trouble, markup=False)
    for numbers, what in (
        (plan.too_long, "would be listed as too_long: more than the critic's context holds"),
        (plan.shortened, "would be shortened to fit the critic's context"),
    ):
        if numbers:
            console.print(f"{_rows(numbers)} {what}")
    if plan.unsampled:
        console.print(f"{plan.unsampled} rows wait for responses of the policy; what is asked about those is not counted")
    suggest("the same command without --dry-run")


def _needs(plan: DryRun, gpu: str | None) -> Iterator[str]:
    """Lines of what the run takes besides calls."""
    from rlaif.engines.roofline import USUAL

    if plan.computed is not None and plan.tokens:
        share = 1 - plan.computed / plan.tokens
        yield f"{plan.computed:,} of these tokens are computed where a prefix cache holds the rest, {share:.0%}"
    if plan.hours is not None and gpu:
        usual = plan.hours / USUAL
        yield f"at least {plan.hours:.3g} hours of one {gpu.partition(':')[0].upper()}; {usual:.3g} at {USUAL:.0%} of its peak"
    if plan.store is not None and plan.files is not None:
        yield f"about {_bytes(plan.store)} of verdicts in the store, {_bytes(plan.files)} of records as JSONL and Parquet"


def _bytes(size: int) -> str:
    power = min(4, int(math.log10(max(1, size)) // 3))
    return f"{size / 1000**power:.3g} {('bytes', 'KB', 'MB', 'GB', 'TB')[power]}"


def _rows(numbers: Sequence[int]) -> str:
    """``rows 3, 7 and 12 others``."""
    shown = ", ".join(map(str, numbers[:MOST_ROWS]))
    others = len(numbers) - MOST_ROWS
    return f"row{'s' * (len(numbers) > 1)} {shown}" + (f" and {others} others" if others > 0 else "")


def _print_result(out: Path, judged: Quality) -> None:
    from rlaif.cli.console import Console, print_paths
    from rlaif.evaluate.table import as_table

    run, counts = judged.run, judged.counts
    Console().print(as_table(judged))
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{counts['rows_in']} rows in, {counts['rows_out']} preferences out · {counts['asked']} asked, "
        f"{counts['cached']} from the store · {counts['failed']} verdicts failed, {counts['rows_failed']} rows unusable · "
        f"{counts['cut']} verdicts on shortened text"
    )
    for line in run["commonest_failures"]:
        console.print(line, markup=False)
    for sentence in run["findings"]:
        console.print(f"! {sentence}", markup=False)
    print_paths(*((what, out / name) for what, name in FILES))
    suggest(f"rlaif train dpo {out} --model MODEL --out {out}-dpo")


FILES = (("dataset", "preferences.jsonl"), ("failures", "failures.jsonl"), ("report", "report.html"))
