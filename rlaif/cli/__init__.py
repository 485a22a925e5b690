"""The ``rlaif`` command. Parse first, import torch later: command modules import nothing heavy at their top."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup

from rlaif.cli.flags import Command
from rlaif.data.write import disk_trouble
from rlaif.errors import RunFailed, UsageError, presentable, remember_secrets

CONTINUED = ("compare", "evaluate", "label", "revise", "sample", "train")
"""Commands that go on from where they were stopped."""


class _InterruptedError(Exception):
    """Ctrl-C in the command that the message names. Typer would make an exit of a KeyboardInterrupt, without a word."""


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _InterruptedError(ctx.invoked_subcommand) from None


app = typer.Typer(
    name="rlaif",
    cls=_Commands,
    help="From a constitution to an aligned model.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from rlaif import __version__

        typer.echo(f"rlaif {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error (allowed anywhere)."),
    version: bool = typer.Option(False, "--version", help="Say which version this is.", callback=_version, is_eager=True),
) -> None:
    pass


@cache
def _command() -> Any:
    """``rlaif`` with all of its commands. Made once: each time they are added they are there once more."""
    from rlaif.cli import (
        annotate,
        compare,
        constitution,
        critic,
        evaluate,
        init_folder,
        lab,
        label,
        report,
        revise,
        sample,
        serve,
        train,
    )

    app.add_typer(constitution.app, name="constitution")
    app.add_typer(critic.app, name="critic")
    app.add_typer(evaluate.app, name="evaluate")
    app.add_typer(lab.app, name="lab")
    app.add_typer(train.app, name="train")
    app.command("annotate", cls=Command)(annotate.annotate)
    app.command("compare", cls=Command)(compare.compare)
    app.command("init", cls=Command)(init_folder.init)
    app.command("label", cls=Command)(label.label)
    app.command("report", cls=Command)(report.report)
    app.command("watch", cls=Command)(report.watch)
    app.command("revise", cls=Command)(revise.revise)
    app.command("sample", cls=Command)(sample.sample)
    app.command("serve", cls=Command)(serve.serve)
    return typer.main.get_command(app)


def main() -> None:
    """Run a command; say what went wrong in one message. Exit 2: the input is at fault. Exit 1: the run failed."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    for given in (*arguments, *os.environ.values()):
        remember_secrets(given)
    try:
        _command()(args=arguments)
    except (UsageError, RunFailed) as error:
        if debug:
            raise
        if isinstance(error, UsageError) and os.environ.get("RANK", "0") != "0":
            sys.exit()  # of several processes that were launched as one run, the first says what all of them found
        _say(str(error))
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except _InterruptedError as error:
        _say("stopped; the same command continues" if str(error) in CONTINUED else "stopped")
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        _say(disk_trouble(error) or f"{type(error).__name__}: {error}\n(this looks like a bug; --debug shows where)")
        sys.exit(1)


def _say(message: str) -> None:
    print(f"rlaif: {presentable(message)}", file=sys.stderr)
