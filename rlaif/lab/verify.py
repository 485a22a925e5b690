"""A verifier for what the lab's critic cannot see: ``--reward verifier --verifier rlaif.lab.verify:correct``, or in a mix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlaif.lab.gold import gold


def correct(row: Mapping[str, Any], response: str) -> float | None:
    """1 for a right answer, 0 for a wrong one, ½ where nothing is claimed; None for a prompt that is not of the lab's world."""
    try:
        return gold(str(row["prompt"]), response)["correct"]
    except KeyError:
        return None
