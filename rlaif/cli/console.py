"""The console that commands print on: control characters of what is shown are spelled out, those of its own styles are not."""

from __future__ import annotations

from collections.abc import Iterable

from rich import console
from rich.segment import Segment

from rlaif.errors import printable


class Console(console.Console):
    """As rich's, safe for any text."""

    def render(self, renderable: console.RenderableType, options: console.ConsoleOptions | None = None) -> Iterable[Segment]:
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)


def print_paths(*paths: tuple[str, object]) -> None:
    """Where what a command wrote is: (what it is, its path), one a line."""
    out = Console(highlight=False, soft_wrap=True)
    for what, path in paths:
        out.print(f"{what:9}{path}", markup=False)
