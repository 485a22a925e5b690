"""Configurations of ``accelerate launch`` for ``rlaif train`` on several devices, and where they are.

``python -m rlaif.train.launch NAME`` prints the path of one.
"""

from __future__ import annotations

from pathlib import Path

from rlaif.errors import UsageError


def path(name: str) -> Path:
    """The file of the configuration ``name``. Raises UsageError where there is none of that name."""
    known = {file.stem: file for file in sorted(Path(__file__).parent.glob("*.yaml"))}
    if name not in known:
        raise UsageError(f"no launch configuration {name!r}; there are {', '.join(known)}")
    return known[name]
