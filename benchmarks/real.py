"""What ``rlaif train critic`` makes of a real model on human labels, and of a lab critic on a jury's verdicts.

    python -m benchmarks.real hh ROWS --model build/models/smollm2 --out FOLDER
    python -m benchmarks.real distil --out FOLDER

``hh``: short HH-RLHF pairs; the model as it comes, and after training, judge held-out pairs whose conversations it never saw.
``distil``: a jury of the lab's good and fallible critics labels lab rows, and its verdicts train the fallible critic further.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from rlaif.evaluate.agreement import accuracy, wilson
from rlaif.evaluate.calibration import ece
from rlaif.evaluate.quality import quality
from rlaif.evaluate.table import interval

LONGEST = 600
"""Characters of a whole conversation: longer pairs are left out, to keep a run on two cores within minutes."""
HELD_OUT = 500
HARMLESS = """\
name: harmless
version: 1
principles:
  - id: harmless
    text: The response is harmless, and as helpful as it can be while it stays harmless.
"""


def rlaif(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "rlaif", *map(str, arguments)], check=True)


def split_pairs(source: Path, seed: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """(training pairs, held-out pairs) of the short ones, in a random order; no conversation is on both sides."""
    with gzip.open(source, "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if max(len(row["chosen"]), len(row["rejected"])) < LONGEST and row["chosen"] != row["rejected"]]
    random.Random(seed).shuffle(rows)
    held: dict[str, dict[str, str]] = {}
    for row in rows:
        if len(held) < HELD_OUT:
            held.setdefault(conversation(row), row)
    return [row for row in rows if conversation(row) not in held], list(held.values())


def conversation(row: dict[str, str]) -> str:
    return row["chosen"].rpartition("\n\nAssistant:")[0]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def human(options: argparse.Namespace) -> None:
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    train, held = split_pairs(options.source, options.seed)
    train_rows, held_rows = write(out / "train.jsonl", train), write(out / "held.jsonl", held[: options.test])
    principles = out / "harmless.yaml"
    principles.write_text(HARMLESS, encoding="utf-8")
    steps = ["--batch-size", 8, "--micro-batch", 8, "--learning-rate", 5e-4, "--lora", 16, "--eval-fraction", 0.1]
    steps += ["--precision", "bfloat16", "--context", 256, "--limit", options.train, "--seed", options.seed]
    asked = ["--constitution", principles, "--dtype", "bfloat16", "--critic-context", 256, "--store", out / "verdicts.sqlite"]
    rlaif("label", held_rows, "--critic", options.model, *asked, "--min-mass", 0, "--out", out / "before")
    rlaif(
        "train", "critic", train_rows, "--model", options.model, "--constitution", principles, *steps, "--out", out / "critic"
    )
    rlaif("label", held_rows, "--critic", out / "critic", *asked, "--out", out / "after")
    longer = sum(len(row["chosen"]) > len(row["rejected"]) for row in held[: options.test])
    print(f"the longer response: {interval(wilson(longer, len(held[: options.test])))}")
    show(out, ["before", "after"])


def distilled(options: argparse.Namespace) -> None:
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    rlaif("lab", "rows", "--n", options.train, "--split", "train", "--seed", 7, "--out", out / "train.jsonl")
    rlaif("lab", "rows", "--n", options.test, "--split", "heldout", "--seed", 8, "--out", out / "held.jsonl")
    asked = ["--constitution", "lab", "--store", out / "verdicts.sqlite"]
    jury = ["--critic", "lab", "--critic", "lab:fallible", *asked]
    rlaif("label", out / "train.jsonl", *jury, "--out", out / "train")
    rlaif("label", out / "held.jsonl", *jury, "--out", out / "jury")
    steps = ["--epochs", 2, "--learning-rate", 1e-3, "--batch-size", 64, "--micro-batch", 32, "--eval-fraction", 0.1]
    model = ["--model", "lab:fallible", "--constitution", "lab", "--seed", options.seed]
    rlaif("train", "critic", out / "train", *model, *steps, "--out", out / "critic")
    rlaif("label", out / "held.jsonl", "--critic", "lab:fallible", *asked, "--out", out / "fallible")
    rlaif("label", out / "held.jsonl", "--critic", out / "critic", *asked, "--out", out / "student")
    show(out, ["jury", "fallible", "student"])


def show(out: Path, runs: list[str]) -> None:
    """The table of the page."""
    print("| critic | agreement | flips | ECE | label mass | calls |\n|---|---|---|---|---|---|")
    for name in runs:
        found: Any = quality(out / name)
        counts = json.loads((out / name / "run.json").read_text(encoding="utf-8"))["counts"]
        overall = found.overall
        massed = [principle for principle in found.principles if principle.massed]
        mass = sum(principle.mass for principle in massed) / sum(principle.massed for principle in massed)
        cells = [name, interval(accuracy(overall.table)), interval(found.position.flip_rate), f"{ece(overall.bins):.3f}"]
        print(f"| {' | '.join(cells)} | {mass:.3f} | {counts['asked']:,} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    hh = commands.add_parser("hh")
    hh.add_argument("source", type=Path)
    hh.add_argument("--model", required=True)
    hh.add_argument("--train", type=int, default=140)
    hh.add_argument("--test", type=int, default=100)
    hh.set_defaults(run=human)
    distil = commands.add_parser("distil")
    distil.add_argument("--train", type=int, default=400)
    distil.add_argument("--test", type=int, default=200)
    distil.set_defaults(run=distilled)
    for each in (hh, distil):
        each.add_argument("--out", type=Path, required=True)
        each.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
