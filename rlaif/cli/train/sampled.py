"""Training on the model's own samples: ``rlaif train best-of-n``, and ``--rounds`` of the preference methods."""

from __future__ import annotations

from typing import Any

import typer

from rlaif.cli.cost import print_cost
from rlaif.cli.echo import suggest
from rlaif.cli.flags import DRY_RUN, Command, from_config
from rlaif.train.feedback import RoundsConfig, best_of_n_configuration

NAME = "best-of-n"


def register(app: typer.Typer) -> None:
    """Give ``app`` the command best-of-n."""
    text = "Best-of-n sampling, then fine-tuning on the best. The same command continues a run that was stopped."
    command = from_config(best_of_n_configuration(), run_sampled, "train best-of-n", [DRY_RUN])
    app.command(NAME, help=text, cls=Command)(command)


def run_sampled(config: RoundsConfig, dry_run: bool) -> None:
    """Run the rounds with a progress bar, and say what came out. dry_run: only say what would be drawn and asked."""
    if dry_run:
        from rlaif.cost import rounds_cost

        print_cost(rounds_cost(config))
        return
    from rlaif.cli.console import Console
    from rlaif.cli.progress import OFFLINE, ProgressBar

    with ProgressBar(Console(stderr=True), "opening data and model", OFFLINE) as bar:
        from transformers.utils.logging import set_verbosity_error

        from rlaif.progress import Progress
        from rlaif.train.best_of_n import run_best_of_n
        from rlaif.train.rounds import run_preference_rounds

        set_verbosity_error()
        run_all = run_best_of_n if config.method == "best-of-n" else run_preference_rounds
        run = run_all(config, Progress(bar.stage, bar.update))
    _print_result(config, run)


def _print_result(config: RoundsConfig, run: dict[str, Any]) -> None:
    from rich.table import Table

    from rlaif.cli.console import Console, print_paths

    console, rounds = Console(highlight=False, soft_wrap=True), run["rounds"]
    table = Table("metric", *(f"round {entry['round']}" for entry in rounds))
    for name in rounds[-1]["metrics"]:
        table.add_row(name, *(f"{entry['metrics'][name]:.4g}" for entry in rounds))
    console.print(table)
    if config.method == "best-of-n":
        bound = run["metrics"]["kl_bound"]
        console.print(
            f"the best of {config.feedback.drawing.samples} is at most {bound:.3f} nats (KL) from the policy it is drawn from"
        )
    for entry in rounds:
        sampled = entry["sampled"]
        counts = f"{sampled['rows_out']} prompts sampled, {sampled['rows_failed']} failed"
        console.print(f"round {entry['round']}: {counts} · {entry['source']}", markup=False)
    print_paths(("model", config.train.out / "model"))
    suggest(f"rlaif sample {config.train.source} --model {config.train.out} --out samples.jsonl")
