"""The two ways a command ends badly. The command line turns them into one message and an exit code."""

import re
import sys
from functools import cache


class UsageError(Exception):
    """What the user gave cannot be used: a flag, a file, a key. Exit code 2. The message names it and says what to do."""


class RunFailed(Exception):
    """The run began and could not finish: a dead engine, too many failures. Exit code 1. What was done is kept."""


def without_secrets(text: str) -> str:
    """``text``, fit to be shown and written down: the user and password of any URL in it are left out."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


@cache
def warn_once(message: str) -> None:
    """Say something on stderr that does not stop the run, as one line, once in a process."""
    shown = "".join(character if character.isprintable() else "?" for character in message)
    print(f"rlaif: {shown}", file=sys.stderr)
