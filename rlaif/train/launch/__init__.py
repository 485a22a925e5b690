"""Configurations of ``accelerate launch`` for ``rlaif train`` on several devices, and where they are.

``python -m rlaif.train.launch NAME`` prints the path of one.
"""

from __future__ import annotations

from pathlib import Path

from rlaif.errors import UsageError


def path(name: str) -> Path:
    """The file of the configuration ``name``. Raises UsageError where there is none of that name."""
    file = Path(__file__).with_name(f"{name}.yaml")
    if not file.is_file():
        known = ", ".join(sorted(other.stem for other in file.parent.glob("*.yaml")))
        raise UsageError(f"no launch configuration {name!r}; there are {known}")
    return file
