"""Lines for the terminal."""

import typer

from rlaif.errors import printable


def echo(text: object, err: bool = False) -> None:
    """Print ``text``, its control characters spelled out."""
    typer.echo(printable(str(text)), err=err)


def suggest(command: str) -> None:
    """The last line of a command: the next one to type. Words in capitals are for the user to fill in.

    On stderr, so that what a command prints can be piped.
    """
    echo(f"next     {command}", err=True)
