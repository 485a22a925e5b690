"""``rlaif evaluate consistency``."""

from __future__ import annotations

from rlaif.cli.cost import print_cost
from rlaif.cli.evaluate.printed import print_found
from rlaif.cli.flags import DRY_RUN, from_config
from rlaif.evaluate.config import ConsistencyConfig


def _consistency(config: ConsistencyConfig, dry_run: bool) -> None:
    from rlaif.cli.console import Console
    from rlaif.cli.progress import ProgressBar
    from rlaif.evaluate.consistency_run import MEASURES, check_consistency
    from rlaif.evaluate.outcome import check
    from rlaif.progress import Progress

    check(config.outcome, MEASURES, (config.model, config.source))
    if dry_run:
        from rlaif.cost import consistency_cost

        print_cost(consistency_cost(config))
        return
    with ProgressBar(Console(stderr=True), "opening the models", ("failed",)) as bar:
        found = check_consistency(config, Progress(bar.stage, bar.update))
    following = f"rlaif evaluate consistency MODEL {config.out}/rewordings.jsonl --out runs/NAME"
    print_found(found, config.outcome, MEASURES, config.out, following)


consistency = from_config(ConsistencyConfig, _consistency, "evaluate consistency", [DRY_RUN])
consistency.__doc__ = """Does a policy keep its answer when a prompt is asked again, and when it is asked in other words?

The same command continues a run that was stopped.
"""
