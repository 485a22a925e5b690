"""``rlaif evaluate``: how far a critic's labels agree with known preferences, and who wins by them."""

from __future__ import annotations

import typer

from rlaif.cli.evaluate.agreement import agreement
from rlaif.cli.evaluate.consistency import consistency
from rlaif.cli.evaluate.ladder import ladder
from rlaif.cli.evaluate.ranking import ranking
from rlaif.cli.evaluate.reward import reward
from rlaif.cli.evaluate.win_rate import win_rate
from rlaif.cli.flags import Command

app = typer.Typer(
    help="Agreement with known preferences, reward models, win rates, ratings, and consistency.", no_args_is_help=True
)
for name, command in (
    ("agreement", agreement),
    ("win-rate", win_rate),
    ("ladder", ladder),
    ("ranking", ranking),
    ("reward", reward),
    ("consistency", consistency),
):
    app.command(name, cls=Command)(command)
