"""``rlaif train METHOD``: one command per method, each with the settings that it has, also of methods from outside."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from rlaif.cli.train import offline, online, sampled
from rlaif.errors import UsageError
from rlaif.rl.config import RlConfig
from rlaif.rl.methods import METHODS
from rlaif.train.methods import LOSSES
from rlaif.train.methods.base import Loss


class Methods(TyperGroup):
    """Makes a method's command when it is asked for, so that no other method is imported for it."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*LOSSES, sampled.NAME, *METHODS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        made = typer.Typer(add_completion=False)
        if cmd_name == sampled.NAME:
            sampled.register(made)
        elif cmd_name in LOSSES:
            _register(made, cmd_name, LOSSES[cmd_name])
        elif cmd_name in METHODS:
            _register(made, cmd_name, METHODS[cmd_name])
        else:
            return None
        return typer.main.get_command(made)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        names: Any = dict.fromkeys(self.list_commands(ctx))
        self.commands = names  # where typer looks for the nearest one
        return super().resolve_command(ctx, args)


def _register(made: typer.Typer, name: str, kind: Any) -> None:
    """``module:Name`` may be of either family."""
    if isinstance(kind, type) and issubclass(kind, Loss):
        offline.register(made, name)
    elif isinstance(kind, type) and issubclass(kind, RlConfig):
        online.register(made, name)
    else:
        raise UsageError(
            f"rlaif train {name}: neither an offline method (a subclass of rlaif.train.methods.base.Loss) nor an on-policy one "
            "(a subclass of rlaif.rl.config.RlConfig)"
        )


app = typer.Typer(
    help="Train a model on preferences, or on rewards of its own samples; write it as a Hugging Face folder. "
    "Methods from outside are given as module:Name (docs/extending.md).",
    no_args_is_help=True,
    cls=Methods,
)


@app.callback()
def _methods() -> None:
    pass
