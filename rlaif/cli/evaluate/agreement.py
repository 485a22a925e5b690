"""``rlaif evaluate agreement``."""

from __future__ import annotations

from rlaif.cli.cost import print_cost
from rlaif.cli.echo import echo
from rlaif.cli.evaluate.printed import print_found
from rlaif.cli.flags import DRY_RUN, from_config
from rlaif.evaluate.config import AgreementConfig


def _agreement(config: AgreementConfig, dry_run: bool) -> None:
    from rlaif.cli.console import Console
    from rlaif.cli.progress import ProgressBar
    from rlaif.data.run_folder import read_run
    from rlaif.evaluate.outcome import check
    from rlaif.evaluate.rewardbench import TIES, BestOf
    from rlaif.label.benchmark import MEASURES, agree
    from rlaif.progress import Progress

    check(config.outcome, MEASURES, config.source)
    if dry_run:
        from rlaif.cost import agreement_cost

        print_cost(agreement_cost(config))
        return
    with ProgressBar(Console(stderr=True), "opening the critic", ("failed", "from the store", "verdicts")) as bar:
        found, folder = agree(config, Progress(bar.stage, bar.update, bar.warn))
    own = folder == config.out  # another run's folder is only read
    counts = read_run(folder).get("counts", {})
    if missing := counts.get("rows_failed", 0) + counts.get("unjudged", 0):
        echo(f"{missing:,} rows or pairs have no verdict and are left out; see {folder}/failures.jsonl")
    if isinstance(found.rows[0], BestOf) and TIES not in [row.name for row in found.rows]:
        echo(f"no prompts of {TIES}: their score is of single responses; --mode score has them")
    print_found(found, config.outcome, MEASURES, folder if own else None, f"rlaif report {folder}")


agreement = from_config(AgreementConfig, _agreement, "evaluate agreement", [DRY_RUN])
agreement.__doc__ = """Agreement of a critic with known preferences: in both orders, and by the mean, with intervals.

The files of JudgeBench, RewardBench 1 and 2, MT-Bench and the Constitutional AI paper are read as they are, and counted as
their authors count.
"""
