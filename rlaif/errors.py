"""The two ways a command ends badly, and what of a text may be shown or written down."""

import base64
import os
import re
import sys
from functools import cache
from urllib.parse import quote, unquote


class UsageError(Exception):
    """What the user gave cannot be used: a flag, a file, a key. Exit code 2. The message names it and says what to do."""


class RunFailed(Exception):
    """The run began and could not finish: a dead engine, too many failures. Exit code 1. What was done is kept."""


_USER = re.compile(r"(?<=://)(?:[^\s/?#,'\"<>]*|[^\s/?#,'\"<>:@]*:(?!\d+/)[^\s,'\"<>]*)@")
"""User and password of a URL. A password may hold an ``@``, and one that was not escaped a slash."""
_HEADER = re.compile(r"(?i)(authorization\W{1,5}(?:bearer|basic)\s+)[^\s\"',}]+")
_NAMED_SECRET = re.compile(r"(?i)(_|^)(key|token|secret|password|passwd)$")
_LEAST = 4
"""Characters of a password that is found by its value: a shorter one would be found in every other word."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What moves a terminal's cursor, changes its state, or shows text in another order than it has; not tab and line feed."""

_secrets: set[str] = set()


def remember_secrets(text: str) -> None:
    """Note the passwords of all URLs in ``text``, in each spelling that a server may send back."""
    for match in _USER.finditer(text):
        user = match[0][:-1]
        password = user.partition(":")[2] or user
        if plain := unquote(user):
            _secrets.add(base64.b64encode(plain.encode()).decode())  # as HTTP's Basic authorization carries it
        _secrets.update(
            spelling for spelling in (password, unquote(password), quote(unquote(password), safe="")) if len(spelling) >= _LEAST
        )


def without_secrets(text: str) -> str:
    """``text`` without users and passwords of URLs, the values of environment variables that are named like a key, and
    the passwords that were noted."""
    named = {value.strip() for name, value in os.environ.items() if len(value) >= 2 * _LEAST and _NAMED_SECRET.search(name)}
    for secret in sorted(_secrets | named, key=len, reverse=True):
        text = text.replace(secret, "[secret]")
    return _HEADER.sub(r"\1[secret]", _USER.sub("", text))


def without_sent(text: str) -> str:
    """A server's text without what was sent to it as a secret: keys and passwords, by their values alone, and not so short
    that a text may hold them by itself."""
    if len(text) < 2 * _LEAST:  # as labels are
        return text
    keys = {value.strip() for name, value in os.environ.items() if name.endswith(("_API_KEY", "_ACCESS_KEY"))}
    for secret in sorted(_secrets | keys, key=len, reverse=True):
        if len(secret) >= 2 * _LEAST:
            text = text.replace(secret, "[secret]")
    return text


def printable(text: str) -> str:
    """``text`` with control characters spelled out (ESC as ``\\x1b``): safe for a terminal, a card and a log."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def presentable(text: str) -> str:
    """``text`` as messages show it: without secrets, and printable."""
    return printable(without_secrets(text))


def one_line(text: str, most: int = 200) -> str:
    """``text`` on one line of at most ``most`` characters, presentable."""
    line = presentable(" ".join(text[: 20 * most].split()))
    return line if len(line) <= most else line[: most - 1] + "…"


def warn(text: str) -> None:
    """Say on one line of stderr what the user should know while the work goes on."""
    print(f"rlaif: {one_line(text, 400)}", file=sys.stderr)


@cache
def warn_once(text: str) -> None:
    """``warn``, but not twice of the same in one process."""
    warn(text)
