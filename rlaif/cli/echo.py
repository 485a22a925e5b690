"""A line for the terminal."""

import typer

from rlaif.errors import printable


def echo(text: object, err: bool = False) -> None:
    """Print ``text``, its control characters spelled out."""
    typer.echo(printable(str(text)), err=err)
