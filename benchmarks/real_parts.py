"""What the measurements of ``benchmarks.real`` share: commands, the critic's questions, and how far one judge leads another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlaif.data.records import PreferenceRecord, read_records
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.intervals import mean_interval, resampled

DRAWS = 2000
"""Resamplings of the prompts for an interval."""
TEMPLATES = {
    "compare": """\
mode: compare
version: 1
choices: [A, B]
principle: "{{ text }}"
messages:
  - role: system
    content: Compare two responses.
  - role: user
    content: |-
      <conversation>
      {{ conversation }}
      </conversation>
      <response_a>
      {{ response_a }}
      </response_a>
      <response_b>
      {{ response_b }}
      </response_b>
      {{ principle }}
answer: "Answer:"
""",
    "score": """\
mode: score
version: 1
choices: ["1", "2", "3", "4", "5", "6", "7", "8", "9"]
principle: "{{ text }}"
messages:
  - role: system
    content: Score the response, from 1 to 9.
  - role: user
    content: |-
      <conversation>
      {{ conversation }}
      </conversation>
      <response>
      {{ response }}
      </response>
      {{ principle }}
answer: "Score:"
""",
}
"""Shorter questions than the shipped: half of a step's time is the question's own tokens."""
CONTEXT = 512
LAST = ["--layers", 10, "--precision", "bfloat16", "--micro-batch", 4]
"""What keeps training a model of 135M parameters within minutes on a CPU."""


def rlaif(*arguments: object) -> None:
    """Run a command, and print what it took: CPU minutes, and the most memory that it held."""
    process = subprocess.Popen([sys.executable, "-m", "rlaif", *map(str, arguments)])
    _, status, used = os.wait4(process.pid, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(code)
    minutes, held = (used.ru_utime + used.ru_stime) / 60, used.ru_maxrss * 1024 / 1e9
    print(f"rlaif {' '.join(map(str, arguments[:2]))}: {minutes:.1f} CPU minutes, {held:.2f} GB", flush=True)


def constitution(path: Path, principle: str) -> Path:
    """A constitution of this one principle, written to ``path`` and named as the file."""
    text = f"name: {path.stem}\nversion: 1\nprinciples:\n  - id: {path.stem}\n    text: {principle}\n"
    path.write_text(text, encoding="utf-8")
    return path


def templates(folder: Path, score: str = "Score:") -> Path:
    """The folder with the questions in it. score: how the answer with a score begins."""
    folder.mkdir(exist_ok=True)
    for mode, text in TEMPLATES.items():
        (folder / f"{mode}.yaml").write_text(text.replace("Score:", score), encoding="utf-8")
    return folder


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def verdicts(run: Path, rows: int) -> list[float]:
    """Of each row of pairs, 1 where the critic prefers the response that is known to be better, ½ for a tie or no verdict."""
    found = [0.5] * rows
    for record in read_records(run / "preferences.jsonl", PreferenceRecord):
        if record.p_chosen > 0.5:
            found[record.row - 1] = float((record.gold_margin or 0) > 0)
    return found


def lead(first: Sequence[float], second: Sequence[float], prompts: Sequence[str]) -> Interval:
    """By how much the first judge is right more often than the second on the same pairs, with its 95% interval.

    first, second: [N], 1 where right, 0 where wrong, ½ for a tie. prompts: [N]; the interval is over draws of whole prompts.
    """
    difference: NDArray[np.float64] = np.array(first) - np.array(second)
    owner = np.unique(prompts, return_inverse=True)[1]
    return mean_interval(difference, resampled(owner, DRAWS, 0), int(owner.max()) + 1)


def points(found: Interval) -> str:
    """A difference of shares in percentage points: +3.2 [−0.5, +6.9]."""
    value, low, high = (f"{100 * bound:+.1f}".replace("-", "−") for bound in found)
    return f"{value} [{low}, {high}]"
