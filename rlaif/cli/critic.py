"""``rlaif critic``: whether a critic is worth asking."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from rlaif.cli.echo import echo
from rlaif.cli.flags import Command, from_config
from rlaif.critic.config import CriticConfig
from rlaif.settings import nested, setting

if TYPE_CHECKING:
    from rlaif.label.probe import Probed

app = typer.Typer(help="Check a critic before it is asked.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keeps ``check`` a command of its own while it is the only one."""


@dataclass(frozen=True, kw_only=True)
class CheckConfig:
    """What ``rlaif critic check`` is asked to do. rows: pairs of the job that is planned."""

    model: str = setting(help="The critic, as --critic takes it.", metavar="MODEL", argument=True, path=True)
    rows: int | None = setting(None, "Say what judging so many pairs would cost.", least=1)
    critic: CriticConfig = nested(CriticConfig, without=("models", "mode", "orders"), required=("constitution",))


def _check(config: CheckConfig) -> None:
    from rlaif.label.probe import findings, probe

    probed = probe(replace(config.critic, models=(config.model,)))
    for line in _lines(probed):
        echo(line)
    if config.rows is not None:
        echo(_cost(probed, config.rows))
    against = findings(probed)
    for finding in against:
        echo(f"! {finding.sentence}")
    echo(f"{config.model}: {'not worth asking as it is' if against else 'nothing speaks against it'}")
    if against:
        raise typer.Exit(1)


def _lines(probed: Probed) -> list[str]:
    from rlaif.evaluate.agreement import wilson
    from rlaif.evaluate.table import interval

    told = {
        "examples": "the constitution's examples right",
        "shuffled": "  the same under another prompt (near the line above: it judges without the prompt)",
        "empty": "an answer beats an empty one",
        "longer": "an answer written twice beats the answer",
    }
    wins, known = probed.wins, probed.known
    lines = [
        f"{text}: {interval(wilson(wins[kind], known[kind]))} of {known[kind]}" for kind, text in told.items() if known[kind]
    ]
    if probed.decided:
        flips = interval(wilson(probed.flips, probed.decided))
        lines.append(f"examples, and answers beside empty ones, that turn over with the order: {flips} of {probed.decided}")
    if known["identical"]:
        lines.append(f"of two identical responses, P(the one shown first is better): {probed.first / known['identical']:.2f}")
    if probed.verdicts:
        lines.append(f"label mass: {probed.mass / probed.verdicts:.2f}")
    if probed.failed:
        lines.append(f"{probed.failed} comparisons without a verdict: {probed.trouble}")
    return lines


def _cost(probed: Probed, rows: int) -> str:
    """The planned job's questions, tokens and time, as these went."""
    calls = rows * probed.per_pair
    tokens = f", about {calls * probed.tokens:,.0f} tokens" if probed.tokens else ""
    if not probed.asked:
        return f"{rows:,} pairs: {calls:,} questions{tokens}; the store answered all of these, so nothing is known of the time"
    hours = calls * probed.seconds / probed.asked / 3600
    time = f"{hours:,.1f} hours" if hours >= 1 else f"{60 * hours:,.1f} minutes"
    return f"{rows:,} pairs: {calls:,} questions{tokens}, about {time} at this speed, for responses as long as these"


app.command(
    "check",
    help="Say in a minute whether a critic is worth asking. Exit code 1 where something speaks against it.",
    cls=Command,
)(from_config(CheckConfig, _check, "critic check"))
