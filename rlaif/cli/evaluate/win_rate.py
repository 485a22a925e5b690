"""``rlaif evaluate win-rate``."""

from __future__ import annotations

from rlaif.cli.cost import print_cost
from rlaif.cli.evaluate.printed import print_found
from rlaif.cli.flags import DRY_RUN, from_config
from rlaif.label.config import WinRateConfig


def _win_rate(config: WinRateConfig, dry_run: bool) -> None:
    from rlaif.cli.console import Console
    from rlaif.cli.progress import ProgressBar
    from rlaif.evaluate.outcome import check
    from rlaif.label.win_rate import MEASURES, compare_models, found
    from rlaif.progress import Progress

    check(config.outcome, MEASURES, (config.model_a, config.model_b, config.source))
    if dry_run:
        from rlaif.cost import win_rate_cost

        print_cost(win_rate_cost(config))
        return
    with ProgressBar(Console(stderr=True), "opening the models", ("failed", "from the store", "verdicts")) as bar:
        rates = compare_models(config, Progress(bar.stage, bar.update, bar.warn))
    print_found(found(rates), config.outcome, MEASURES, config.out, f"rlaif report {config.out}")


win_rate = from_config(WinRateConfig, _win_rate, "evaluate win-rate", [DRY_RUN])
win_rate.__doc__ = (
    """How often A's responses are preferred to B's: in both orders, with intervals, by principle, at equal length."""
)
