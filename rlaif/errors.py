"""The two ways a command ends badly. The command line turns them into one message and an exit code."""

import re
import sys
import unicodedata


class UsageError(Exception):
    """What the user gave cannot be used: a flag, a file, a key. Exit code 2. The message names it and says what to do."""


class RunFailed(Exception):
    """The run began and could not finish: a dead engine, too many failures. Exit code 1. What was done is kept."""


def without_secrets(text: str) -> str:
    """``text``, fit to be shown and written down: the user and password of any URL in it are left out."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)


def one_line(text: str, most: int = 200) -> str:
    """``text`` as one line of at most ``most`` characters, fit to be shown: without secrets and control characters."""
    seen = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in text[: 20 * most])
    line = " ".join(without_secrets(seen).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def warn(text: str) -> None:
    """Say on one line of stderr what the user should know while the run goes on."""
    print(f"rlaif: {one_line(text, 400)}", file=sys.stderr)
