"""The methods that learn from a dataset: ``rlaif train sft|reward|critic|dpo|ipo|kto|orpo|cpo|simpo``."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import typer

from rlaif.cli.cost import print_cost
from rlaif.cli.echo import suggest
from rlaif.cli.flags import DRY_RUN, Command, from_config
from rlaif.cli.train.sampled import run_sampled
from rlaif.errors import UsageError
from rlaif.train.config import TrainConfig, configuration
from rlaif.train.feedback import GeneratedConfig, RoundsConfig, generated_configuration, rounds_configuration
from rlaif.train.methods import find_loss
from rlaif.train.methods.critic import Critic


def register(app: typer.Typer, method: str) -> None:
    """Give ``app`` a method's command."""
    title = find_loss(method).title
    about = f"{title[0].upper()}{title[1:]}. The same command continues a run that was stopped."
    app.command(method, help=about, cls=Command)(_command(method))


def _command(method: str) -> Callable[..., None]:
    if method == Critic.name:
        return from_config(generated_configuration(), _train_critic, f"train {method}", [DRY_RUN], GeneratedConfig.check)
    if not find_loss(method).prefers():
        return from_config(configuration(method), _train, f"train {method}")

    def train(config: RoundsConfig, dry_run: bool) -> None:
        if config.feedback.rounds is not None:
            run_sampled(config, dry_run)
        elif dry_run:
            raise UsageError("--dry-run counts what is drawn and asked: give --rounds too; training on rows asks nobody")
        else:
            _train(config.train)

    return from_config(rounds_configuration(method), train, f"train {method}", [DRY_RUN], RoundsConfig.check)


def _train_critic(config: GeneratedConfig, dry_run: bool) -> None:
    if dry_run:
        if config.generation.generate is None and not config.reasons:
            raise UsageError(
                "--dry-run counts what is drawn and asked: give --generate or --reasons; training on rows asks nobody"
            )
        from rlaif.cost import critic_cost

        print_cost(critic_cost(config))
        return
    _train(config.train, config)


def _train(config: TrainConfig, generated: GeneratedConfig | None = None) -> None:
    from rlaif.cli.console import Console
    from rlaif.cli.progress import OFFLINE, ProgressBar

    main = os.environ.get("RANK", "0") == "0"  # of several processes that were launched as one run, one is seen
    with ProgressBar(Console(stderr=True, quiet=not main), "opening data and model", OFFLINE) as bar:
        from transformers.utils.logging import set_verbosity_error

        from rlaif.progress import Progress
        from rlaif.train.generate import run_generated
        from rlaif.train.run import run_train

        set_verbosity_error()  # its notes on loading and saving would tear the bar
        progress = Progress(bar.stage, bar.update)
        run = run_generated(generated, progress) if generated else run_train(config, progress)
    if main:
        _print_result(config, run)


def _print_result(config: TrainConfig, run: dict[str, Any]) -> None:
    from rich.table import Table

    from rlaif.cli.console import Console, print_paths

    out, data, console = config.out, run["data"], Console(highlight=False, soft_wrap=True)
    table = Table("metric", "value")
    for name, value in run["metrics"].items():
        table.add_row(name, f"{value:.4g}")
    console.print(table)
    console.print(f"{data['used']} examples, {data['held_out']} held out, {data['failed']} rows failed")
    print_paths(*((what, out / name) for what, name in FILES))
    if config.method == "reward":
        reward = f"--reward model --reward-model {out / 'model'}"
        suggest(f"rlaif train ppo PROMPTS --model {config.model} {reward} --out {out}-ppo")
    else:
        suggest(f"rlaif sample PROMPTS --model {out} --out samples.jsonl")


FILES = (("model", "model"), ("metrics", "metrics.jsonl"), ("failures", "failures.jsonl"))
