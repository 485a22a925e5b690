"""What ``--dry-run`` prints of a command that draws texts or asks a critic."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlaif.cli.echo import echo, suggest

if TYPE_CHECKING:
    from rlaif.cost import Cost


def print_cost(cost: Cost) -> None:
    """One line of what would be drawn and asked, and what to type next."""
    parts = [f"{cost.prompts:,} prompts" + (f" ({cost.unusable:,} unusable)" if cost.unusable else "")]
    if cost.texts:
        parts.append(f"{cost.texts:,} texts to draw, at most {cost.tokens:,} tokens")
    if cost.calls:
        parts.append(f"at most {cost.calls:,} calls of the critic")
    echo(" · ".join(parts))
    suggest("the same command without --dry-run")
