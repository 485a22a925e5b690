"""``rlaif critic``: whether a critic is worth asking, and how its probabilities are put right."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from rlaif.cli.echo import echo, suggest
from rlaif.cli.flags import Command, from_config
from rlaif.critic.config import CriticConfig
from rlaif.settings import nested, setting

if TYPE_CHECKING:
    from rlaif.label.probe import Probed

app = typer.Typer(help="Check a critic before it is asked, calibrate it afterwards.", no_args_is_help=True)


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


@dataclass(frozen=True, kw_only=True)
class CalibrateConfig:
    """What ``rlaif critic calibrate`` is asked to do."""

    run: Path = setting(help="A label run's folder, by the critic, as it will be asked.", metavar="RUN", argument=True)
    gold: str | None = setting(
        None, "Labels from these rows, such as rlaif annotate's, in place of the source's own.", panel="Input", path=True
    )
    method: Literal["platt", "isotonic"] = setting(
        "platt", "platt: one number for each map, from 50 labels; isotonic: a curve, from 300.", panel="Fit"
    )
    seed: int = setting(0, "Of the parts that labels are held out in.", panel="Fit", least=0)
    out: Path | None = setting(None, "The file; by default calibration.json in RUN.", panel="Output")
    overwrite: bool = setting(False, "Replace a file at --out that is no calibration.", panel="Output")


def _calibrate(config: CalibrateConfig) -> None:
    from rlaif.critic.calibrated import SIGN, write_calibration
    from rlaif.data.inputs import refuse_inputs, refuse_others_file
    from rlaif.evaluate.recalibration import calibrate_run

    out = config.out or config.run / "calibration.json"
    refuse_inputs((config.run / "run.json", config.run / "preferences.jsonl", config.gold), files=[out])
    if not config.overwrite:
        refuse_others_file(out, f'"{SIGN}"'.encode(), "calibration of rlaif's")
    calibration, measured = calibrate_run(config.run, config.gold, config.method, config.seed)
    for each in measured:
        helps = "" if each.helps else "; left as it is: the loss is not less"
        echo(
            f"{each.name}: {each.labels:,} held-out labels, ECE {each.ece_before:.3f} -> {each.ece_after:.3f}, "
            f"log loss {each.loss_before:.3f} -> {each.loss_after:.3f}{helps}"
        )
    write_calibration(calibration, out)
    echo(f"written to {out}, for {calibration.critic}")
    suggest(f"rlaif label ROWS --config {config.run}/config.yaml --calibration {out} --out {config.run}-calibrated")


app.command(
    "calibrate",
    help="Fit a critic's probabilities to labels, by principle and overall; print the calibration error on held-out labels "
    "before and after. Exit code 1 where nothing helps, 2 where labels are too few.",
    cls=Command,
)(from_config(CalibrateConfig, _calibrate, "critic calibrate"))
