"""The on-policy methods: ``rlaif train ppo|rloo|grpo|reinforce``."""

from __future__ import annotations

from typing import Any

import typer

from rlaif.cli.flags import Command, from_config
from rlaif.rl.config import RlConfig
from rlaif.rl.methods import find_method


def register(app: typer.Typer, method: str) -> None:
    """Give ``app`` a method's command."""
    kind = find_method(method)
    about = f"{kind.title[0].upper()}{kind.title[1:]} on sampled responses" + (f": {kind.about}" if kind.about else "")
    text = f"{about}. The same command continues a run that was stopped."
    app.command(method, help=text, cls=Command)(from_config(kind, _train, f"train {method}"))


def _train(config: RlConfig) -> None:
    from rlaif.cli.console import Console
    from rlaif.cli.progress import TrainProgress

    shown = ("reward", "kl", "length", "heldout_reward", "seconds_sampling", "seconds_waiting", "seconds_learning")
    with TrainProgress(Console(stderr=True), shown) as bar:
        from transformers.utils.logging import set_verbosity_error

        from rlaif.rl.run import run_rl
        from rlaif.train.loop import Progress

        set_verbosity_error()  # its notes on loading and saving would tear the bar
        run = run_rl(config, Progress(bar.stage, bar.update))
    _print_result(config, run)


def _print_result(config: RlConfig, run: dict[str, Any]) -> None:
    from rich.table import Table

    from rlaif.cli.console import Console

    console = Console(highlight=False, soft_wrap=True)
    table = Table("metric", "value")
    for name, figure in run["metrics"].items():
        if not name.startswith("monitor_"):
            table.add_row(name, f"{figure:.4g}")
    console.print(table)
    if run["stopped"]:
        console.print(f"stopped by the monitor: {run['stopped']}; the model is of step {run['model_of_step']}", markup=False)
    if run["warnings"]:
        console.print(f"warnings {run['warnings']}: {config.out / 'warnings.jsonl'}", markup=False)
    for what, name in (("model", "model"), ("metrics", "metrics.jsonl"), ("samples", "samples.jsonl")):
        console.print(f"{what:9}{config.out / name}", markup=False)
