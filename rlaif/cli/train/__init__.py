"""``rlaif train METHOD``: one command per method, each with the settings that it has."""

from __future__ import annotations

import typer

from rlaif.cli.train import offline, online, sampled

app = typer.Typer(
    help="Train a model on preferences, or on rewards of its own samples; write it as a Hugging Face folder.",
    no_args_is_help=True,
)
offline.register(app)
sampled.register(app)
online.register(app)
