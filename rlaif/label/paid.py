"""What a run has paid for its critics, over all of its starts: ``cost.json`` in the run's folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rlaif.data.write import atomic_write, dumps
from rlaif.engines.spending import Budget

NAME = "cost.json"


def continue_spending(budget: Budget | None, folder: Path) -> None:
    """Have ``budget`` begin with what earlier starts in ``folder`` have paid."""
    if budget is None:
        return
    try:
        before = json.loads((folder / NAME).read_text(encoding="utf-8"))["dollars"]
    except (OSError, ValueError, KeyError, TypeError):  # the first start, or no price was known
        return
    budget.before = float(before or 0.0)


def keep_spending(budget: Budget | None, folder: Path) -> dict[str, Any]:
    """Write down what was paid so far, so that not even a kill loses more than what is under way. Returns it as a fact of
    ``run.json``; nothing where no critic is paid for."""
    if budget is None:
        return {}
    cost = budget.facts()
    if cost["dollars"]:
        with atomic_write(folder / NAME) as file:
            file.write(dumps(cost) + "\n")
    return {"cost": cost}
