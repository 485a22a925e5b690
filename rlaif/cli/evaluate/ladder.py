"""``rlaif evaluate ladder``."""

from __future__ import annotations

from rlaif.cli.cost import print_cost
from rlaif.cli.evaluate.printed import print_found
from rlaif.cli.flags import DRY_RUN, from_config
from rlaif.label.config import LadderConfig


def _ladder(config: LadderConfig, dry_run: bool) -> None:
    from rlaif.cli.console import Console
    from rlaif.cli.progress import ProgressBar
    from rlaif.evaluate.outcome import check
    from rlaif.label.ladder import climb, measures
    from rlaif.progress import Progress

    check(config.outcome, measures(config), (*config.policies, config.source))
    if dry_run:
        from rlaif.cost import ladder_cost

        print_cost(ladder_cost(config))
        return
    with ProgressBar(Console(stderr=True), "opening the models", ("failed", "from the store", "verdicts")) as bar:
        found = climb(config, Progress(bar.stage, bar.update, bar.warn))
    print_found(found, config.outcome, measures(config), config.out, f"rlaif report {config.out}")


ladder = from_config(LadderConfig, _ladder, "evaluate ladder", [DRY_RUN])
ladder.__doc__ = """Rate many policies: Bradley–Terry and Elo, asking about the pairs that tell most, with intervals.

The same command continues a ladder that was stopped; a greater --budget goes on with it.
"""
