"""Label responses, edit the constitution twice, and see what the critic is asked again.

    python examples/edit_a_principle.py [FOLDER]

The critic and the policy's responses are those of the lab, an invented world: nothing is downloaded.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rlaif import LabelConfig, run_label
from rlaif.lab.world import rows
from rlaif.settings import configure

CONSTITUTION = """
name: example
version: 1
principles:
  - {{id: polite, text: The response is polite., weight: {weight}}}
  - {{id: harmless, text: {harmless}}}
"""
EDITS = {
    "first run": {"weight": 1, "harmless": "The response does no harm."},
    "another weight": {"weight": 2, "harmless": "The response does no harm."},
    "another wording of one principle": {"weight": 2, "harmless": "The response refuses to help with anything dangerous."},
}


def main(folder: Path) -> None:
    source, constitution = folder / "rows.jsonl", folder / "constitution.yaml"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text("".join(json.dumps(row) + "\n" for row in rows(8)), encoding="utf-8")
    for number, (edit, values) in enumerate(EDITS.items()):
        constitution.write_text(CONSTITUTION.format(**values), encoding="utf-8")
        config = configure(
            LabelConfig,
            source=source,
            critic="lab",
            constitution=constitution,
            store=folder / "verdicts.sqlite",
            out=folder / f"run-{number}",
        )
        counts = run_label(config)["counts"]
        print(f"{edit}: {counts['asked']} asked, {counts['cached']} from the store")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/example"))
