"""The on-policy methods: ``rlaif train ppo|rloo|grpo|reinforce``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from rlaif.cli.cost import print_cost
from rlaif.cli.echo import echo, suggest
from rlaif.cli.flags import DRY_RUN, Command, from_config
from rlaif.rl.config import RlConfig
from rlaif.rl.methods import find_method

if TYPE_CHECKING:
    from rich.table import Table


def register(app: typer.Typer, method: str) -> None:
    """Give ``app`` a method's command."""
    kind = find_method(method)
    about = f"{kind.title[0].upper()}{kind.title[1:]} on sampled responses" + (f": {kind.about}" if kind.about else "")
    text = f"{about}. The same command continues a run that was stopped."
    app.command(method, help=text, cls=Command)(from_config(kind, _train, f"train {method}", [DRY_RUN]))


def _train(config: RlConfig, dry_run: bool) -> None:
    if dry_run:
        from rlaif.cost import on_policy_cost
        from rlaif.rl.fit import planned

        print_cost(on_policy_cost(config))
        for line in planned(config):
            echo(line)
        return
    from rlaif.cli.console import Console
    from rlaif.cli.progress import ProgressBar

    shown = ("reward", "kl", "length", "heldout_reward", "failed")
    main = os.environ.get("RANK", "0") == "0"  # of several processes that were launched as one run, one is seen
    with ProgressBar(Console(stderr=True, quiet=not main), "opening data and model", shown) as bar:
        from transformers.utils.logging import set_verbosity_error

        from rlaif.progress import Progress
        from rlaif.rl.run import run_rl

        set_verbosity_error()  # its notes on loading and saving would tear the bar
        run = run_rl(config, Progress(bar.stage, bar.update))
    if main:
        _print_result(config, run)


SUMMARY: Mapping[str, tuple[str, ...]] = {
    "reward": ("reward", "heldout_reward", "heldout_second_reward", "failed"),
    "policy": ("kl", "entropy"),
    "responses": ("length", "ended"),
    "time": ("seconds", "waiting"),
}
"""The rows of the table at a run's end, by group, at most ten; ``metrics.jsonl`` has all."""


def _print_result(config: RlConfig, run: dict[str, Any]) -> None:
    from rlaif.cli.console import Console, print_paths

    console = Console(highlight=False, soft_wrap=True)
    console.print(_summary(run["metrics"]))
    if run["stopped"]:
        console.print(f"stopped by the monitor: {run['stopped']}; the model is of step {run['model_of_step']}", markup=False)
    if run["warnings"]:
        console.print(f"warnings {run['warnings']}: {config.out / 'warnings.jsonl'}", markup=False)
    print_paths(*((what, config.out / name) for what, name in FILES))
    suggest(f"rlaif sample {config.source} --model {config.out} --out samples.jsonl")


FILES = (("model", "model"), ("metrics", "metrics.jsonl"), ("samples", "samples.jsonl"))


def _summary(metrics: Mapping[str, float]) -> Table:
    from rich.table import Table

    table = Table("", "metric", "last value")
    for group, names in SUMMARY.items():
        known = [name for name in names if name in metrics]
        for name in known:
            table.add_row(group if name == known[0] else "", name.replace("_", " "), f"{metrics[name]:.4g}")
    return table
