"""What ``rlaif train critic`` makes of a real model on human labels, and of a lab critic on a jury's verdicts or on none.

    python -m benchmarks.real hh ROWS --model build/models/smollm2 --out FOLDER
    python -m benchmarks.real alpaca ROWS --model build/models/smollm2 --out FOLDER
    python -m benchmarks.real grpo FOLDER-OF-HH --second REWARD-MODEL --model build/models/smollm2 --out FOLDER
    python -m benchmarks.real engines ROWS --model build/models/smollm2 --out FOLDER
    python -m benchmarks.real distil --out FOLDER
    python -m benchmarks.real generate --out FOLDER

``hh``: short HH-RLHF pairs; the model as it comes, and after training, judge held-out pairs whose conversations it never saw.
``alpaca``: a critic and a reward model learn GPT-4-turbo's judgements, and are compared on prompts that they never saw.
``grpo``: the model learns from the critic of ``hh``, and a reward model that training never sees judges too.
``engines``: prompt ids, three engines and both orders, on held-out pairs of ``hh``.
``distil``: a jury of the lab's good and fallible critics labels lab rows, and its verdicts train the fallible critic further.
``generate``: the lab's policy and reviser write pairs, of which the fallible critic keeps what holds, and is trained on it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_alpaca import alpaca
from benchmarks.real_engines import engines
from benchmarks.real_grpo import grpo
from benchmarks.real_parts import CONTEXT, LAST, constitution, lead, points, rlaif, templates, verdicts, write
from rlaif.evaluate.agreement import accuracy, wilson
from rlaif.evaluate.calibration import ece
from rlaif.evaluate.quality import quality
from rlaif.evaluate.table import interval
from rlaif.train.predict import RewardModel
from rlaif.train.rows import Example, read_examples

LONGEST = 1000
"""Characters of a whole conversation: longer pairs are left out, to keep a run on two cores within an hour."""
HELD_OUT = 500
HARMLESS = "The response is harmless, and as helpful as it can be while it stays harmless."
LEARNING = ["--batch-size", 16, "--learning-rate", 1e-4, *LAST]


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


def human(options: argparse.Namespace) -> None:
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    train, held = split_pairs(options.source, options.seed)
    train, held = train[: options.train], held[: options.test]
    train_rows, held_rows = write(out / "train.jsonl", train), write(out / "held.jsonl", held)
    principles = constitution(out / "harmless.yaml", HARMLESS)
    steps = [*LEARNING, "--context", CONTEXT, "--save-every", 1000, "--seed", options.seed]
    asked = ["--constitution", principles, "--critic-context", CONTEXT, "--store", out / "verdicts.sqlite"]
    asked += ["--engine", options.engine, "--min-mass", 0, "--max-failure-rate", 1]
    short = ["--prompts", templates(out / "prompts")]
    learn = ["--mode", "score", "--constitution", principles, "--eval-fraction", 0.08, *short]
    rlaif("train", "critic", train_rows, "--model", options.model, *learn, *steps, "--out", out / "critic")
    score = ["--mode", "score", *short]
    rlaif("label", held_rows, "--critic", out / "critic", *asked, *score, "--out", out / "scores, trained")
    rlaif("train", "reward", train_rows, "--model", options.model, *steps, "--out", out / "reward")
    rlaif("label", held_rows, "--critic", options.model, *asked, "--out", out / "as it comes")
    rlaif("label", held_rows, "--critic", options.model, *asked, *short, "--out", out / "answer begun, short question")
    rlaif("label", held_rows, "--critic", options.model, *asked, *score, "--out", out / "scores, as it comes")
    show(out, ["as it comes", "answer begun, short question", "scores, as it comes", "scores, trained"])
    length = [len(row["chosen"]) - len(row["rejected"]) for row in held]
    baselines = {
        "reward model": margins(out / "reward", held_rows),
        "the longer response": length,
        "the shorter response": [-difference for difference in length],
    }
    critic, prompts = verdicts(out / "scores, trained", len(held)), [conversation(row) for row in held]
    for name, found in baselines.items():
        right = [(difference > 0) + (difference == 0) / 2 for difference in found]
        print(f"| {name} | {interval(wilson(sum(right), len(held)))} | | | | |")
        print(f"  The trained critic leads by {points(lead(critic, right, prompts))} points.")
    for name, sign in (("longer", 1), ("shorter", -1)):
        where = [right for right, difference in zip(critic, length, strict=True) if sign * difference > 0]
        print(f"It is right in {sum(where) / len(where):.1%} of {len(where)} pairs whose better response is the {name} one.")


def margins(model: Path, rows: Path) -> Any:
    """Of each row's chosen response over its rejected, by a reward model's scores, [N]; 0 for a row that is no pair."""
    examples = list(read_examples(str(rows), "pairs", "soft"))
    pairs = [example for example in examples if isinstance(example, Example)]
    scorer = RewardModel(str(model / "model"))
    chosen, rejected = (
        scorer.scores([pair.prompt for pair in pairs], [str(pair.responses[side]) for pair in pairs]).numpy() for side in (0, 1)
    )
    found = np.zeros(len(examples))
    found[[example.number - 1 for example in pairs]] = chosen - rejected
    return found


def compared(options: argparse.Namespace) -> None:
    engines(options, split_pairs(options.source, options.seed)[1], HARMLESS)


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


def generated(options: argparse.Namespace) -> None:
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    prompts = ["--prompts-only", "--split", "train", "--n", options.train, "--seed", 7]
    rlaif("lab", "rows", *prompts, "--out", out / "prompts.jsonl")
    rlaif("lab", "rows", "--n", options.test, "--split", "heldout", "--seed", 8, "--out", out / "held.jsonl")
    asked = ["--constitution", "lab", "--store", out / "verdicts.sqlite"]
    who = ["--model", "lab:fallible", "--policy", "lab:policy", "--generate", options.train, "--seed", options.seed]
    steps = ["--epochs", 2, "--learning-rate", 1e-3, "--batch-size", 64, "--micro-batch", 32, "--eval-fraction", 0.1]
    rlaif("train", "critic", out / "prompts.jsonl", *who, *asked, *steps, "--out", out / "critic")
    rlaif("label", out / "held.jsonl", "--critic", "lab:fallible", *asked, "--out", out / "fallible")
    rlaif("label", out / "held.jsonl", "--critic", out / "critic", *asked, "--out", out / "from principles")
    show(out, ["fallible", "from principles"])


def show(out: Path, runs: list[str]) -> None:
    """The table of the page."""
    print("\n| critic | agreement | flips | ECE | label mass | calls |\n|---|---|---|---|---|---|")
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
    hh.add_argument("--train", type=int, default=600)
    hh.add_argument("--test", type=int, default=500)
    hh.set_defaults(run=human)
    learnt = commands.add_parser("alpaca")
    learnt.set_defaults(run=alpaca)
    online = commands.add_parser("grpo")
    online.add_argument("judges", type=Path, metavar="FOLDER", help="where hh has trained a critic")
    online.add_argument("--second", type=Path, required=True, help="a reward model's folder: the other judge")
    online.set_defaults(run=grpo)
    engine = commands.add_parser("engines")
    engine.add_argument("--test", type=int, default=150)
    engine.set_defaults(run=compared)
    for each in (hh, learnt, engine):
        each.add_argument("source", type=Path, metavar="ROWS")
    for each in (hh, learnt, online, engine):
        each.add_argument("--model", required=True)
    for each in (hh, learnt):
        each.add_argument("--engine", default="vllm")
    distil = commands.add_parser("distil")
    distil.add_argument("--train", type=int, default=400)
    distil.add_argument("--test", type=int, default=200)
    distil.set_defaults(run=distilled)
    generate = commands.add_parser("generate")
    generate.add_argument("--train", type=int, default=400)
    generate.add_argument("--test", type=int, default=200)
    generate.set_defaults(run=generated)
    for each in (hh, learnt, online, engine, distil, generate):
        each.add_argument("--out", type=Path, required=True)
        each.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
