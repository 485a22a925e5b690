"""``rlaif annotate``: people's turn to say which response is better."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec

from rlaif.annotate.config import AnnotateConfig
from rlaif.cli.echo import echo, suggest
from rlaif.cli.flags import from_config
from rlaif.errors import UsageError

NEEDED = ("starlette", "uvicorn")


def _annotate(config: AnnotateConfig) -> None:
    if not config.terminal and (absent := [name for name in NEEDED if find_spec(name) is None]):
        raise UsageError(
            f"rlaif annotate needs {', '.join(absent)} for its page: pip install 'rlaif[serve]', or give --terminal"
        )
    from rlaif.annotate.run import conclude, open_session, serve
    from rlaif.annotate.terminal import ask

    session = open_session(config)
    with suppress(KeyboardInterrupt):  # the usual end
        if config.terminal:
            ask(session)
        else:
            serve(config, session, _started)
    outcome = conclude(config, session)
    echo(f"{outcome.answered:,} of {outcome.total:,} questions answered by {config.annotator}. {session.words()}")
    for both in outcome.both:
        echo(f"{both.first} and {both.second}: {both.same:.1%} of {both.questions:,} answers the same, κ {both.kappa:.3f}")
    if len({name for both in outcome.both for name in (both.first, both.second)}) > 2:
        echo(f"all annotators: Krippendorff's α {outcome.alpha:.3f}")
    echo(f"answers  {config.log}")
    echo(f"gold     {config.gold} ({outcome.pairs:,} pairs, all annotators)")
    suggest(f"rlaif evaluate agreement {config.run} --gold {config.gold}")


def _started(address: str) -> None:
    echo(f"open {address}\nCtrl-C ends it; every answer is saved at once, and the same command goes on")


annotate = from_config(AnnotateConfig, _annotate, "annotate")
annotate.__doc__ = """Ask people which of two responses is better, by keyboard, without showing what the critic said.

Answers are added to a file as they come; what they come to is gold for evaluate agreement, constitution fit, critic calibrate
and evaluate win-rate (--gold).
"""
