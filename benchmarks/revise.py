"""What do critique and revision do to the lab policy's replies, what do they cost, and does SFT on them make the policy better?

    python -m benchmarks.revise [--seeds 0 1 2] [--folder runs/benchmark-revise]

A few minutes of one core. It can be stopped: the next call makes what is missing and then writes benchmarks/revise.md.
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from transformers.utils.logging import set_verbosity_error

from benchmarks.lab_grid import CONSTITUTION, Cell, Part, evaluate, prompts, run_grid, sample
from benchmarks.revise_page import page
from benchmarks.train import RECIPES, TESTED, training
from rlaif.data.records import PreferenceRecord, RevisionRecord, SftRecord, read_records
from rlaif.data.write import JsonlWriter, atomic_write
from rlaif.lab.gold import gold
from rlaif.lab.questions import questions
from rlaif.lab.revising import revise
from rlaif.label.config import ReviseConfig
from rlaif.label.revise_run import run_revise
from rlaif.progress import Progress
from rlaif.settings import configure
from rlaif.train.run import run_train

COMMAND = "python -m benchmarks.revise"
MEASURED, LEARNT, REPLIES = 400, 256, 4
"""Held-out prompts whose replies are revised (one each), and training prompts, answered ``REPLIES`` times, to learn from."""
ROUNDS = (1, 2)
LEARNT_FROM = (("confirmed", 1), ("changed", 1), ("confirmed", 2))
"""What SFT learns from: the revisions that the critic confirmed, or all that changed something; of so many rounds."""


def cells(folder: Path, seeds: Sequence[int]) -> dict[str, Cell]:
    found: dict[str, Cell] = {}
    for seed in seeds:
        for rounds in ROUNDS:
            what = {"prompts": MEASURED, "rounds": rounds, "seed": seed}
            found[f"measure-{rounds}-{seed}"] = Cell(what, partial(_measure, folder, rounds, seed))
        found[f"base-{seed}"] = Cell({"tested": TESTED}, partial(_base, seed))
        for kept, rounds in LEARNT_FROM:
            what = {"prompts": LEARNT, "replies": REPLIES, "rounds": rounds, "tested": TESTED, "seed": seed}
            found[f"sft-{kept}-{rounds}-{seed}"] = Cell(what, partial(_learn, folder, kept, rounds, seed))
    return found


def _revise(folder: Path, part: Part, n: int, replies: int, rounds: int, seed: int, display: Progress) -> Path:
    """The run folder of ``rlaif revise`` over the policy's replies."""
    name = f"{part}-{seed}"
    rows = folder / f"{name}.jsonl"
    if not rows.is_file():
        display.stage("sample", 1, 0)
        asked = prompts(part, n, seed)
        with JsonlWriter(rows) as writer:
            for prompt, drawn in zip(asked, sample("lab:policy", asked, replies, seed), strict=True):
                writer.write({"prompt": prompt, "responses": drawn})
    out = folder / f"{name}-rounds-{rounds}"
    store = folder / "answers.sqlite"
    config = configure(
        ReviseConfig, source=str(rows), constitution=CONSTITUTION, critic="lab", out=out, store=store, rounds=rounds, seed=seed
    )
    run_revise(config, display)
    return out


def _measure(folder: Path, rounds: int, seed: int, display: Progress) -> dict[str, Any]:
    """Per reply: its rounds (principle, whether it had a fault by it, gold before and after), and the critic's word."""
    out = _revise(folder, "heldout", MEASURED, 1, rounds, seed, display)
    confirmed = {record.id.rpartition(":")[0] for record in read_records(out / "preferences.jsonl", PreferenceRecord)}
    rejected = {record.id.rpartition(":")[0] for record in read_records(out / "rejected.jsonl", PreferenceRecord)}
    replies = []
    for record in read_records(out / "revisions.jsonl", RevisionRecord):
        prompt, text = record.prompt[0]["content"], record.responses[1]["text"]
        steps = []
        for step in record.rounds:
            fault = revise(questions()[prompt], text, step.principle, random.Random(0))[1] != text
            before, after = gold(prompt, text), gold(prompt, step.revision)
            changed = step.revision != text
            steps.append({"principle": step.principle, "fault": fault, "changed": changed, "before": before, "after": after})
            text = step.revision
        word = "confirmed" if record.id in confirmed else "rejected" if record.id in rejected else "unchanged"
        replies.append({"rounds": steps, "critic": word})
    return {"replies": replies}


def _base(seed: int, display: Progress) -> dict[str, Any]:
    display.stage("evaluate", 1, 0)
    return {"gold": evaluate("lab:policy", "heldout", TESTED, seed)}


def _learn(folder: Path, kept: str, rounds: int, seed: int, display: Progress) -> dict[str, Any]:
    """Gold of the policy after SFT on revisions of its own replies, with the settings of ``benchmarks.train``."""
    out = _revise(folder, "train", LEARNT, REPLIES, rounds, seed, display)
    examples = [(record.prompt, record.completion) for record in read_records(out / "sft.jsonl", SftRecord)]
    if kept == "changed":
        for record in read_records(out / "rejected.jsonl", PreferenceRecord):
            examples.append((record.prompt, record.chosen if record.chosen_index == 0 else record.rejected))
    source = folder / f"sft-{kept}-{rounds}-{seed}.jsonl"
    with JsonlWriter(source) as writer:
        for prompt, completion in examples:
            writer.write({"prompt": prompt, "completion": completion})
    config = training("sft", RECIPES["sft"], source, folder / f"model-{kept}-{rounds}-{seed}", seed)
    run_train(config, display)
    display.stage("evaluate", 1, 0)
    scores = evaluate(str(config.out / "model"), "heldout", TESTED, seed)
    shutil.rmtree(config.out)
    return {"gold": scores, "examples": len(examples)}


def main(seeds: Sequence[int], folder: Path) -> None:
    set_verbosity_error()
    results = run_grid(cells(folder, seeds), folder)
    facts = f"""Written by `{COMMAND}`. The lab's policy answered {MEASURED} held-out prompts once, and `rlaif revise`
revised the answers with `lab:reviser` by `constitutions/lab.yaml`, for the lab's critic to confirm; {len(seeds)} seeds, each
with prompts, answers and drawn principles of its own, taken together. A fault is what the grammar (`rlaif.lab.revising`)
would mend."""
    learning = f"""For SFT, the policy answered {LEARNT} training prompts {REPLIES} times, and was trained on the revisions
of these answers with the settings of [train.md](train.md); then it answered {TESTED} held-out prompts once. ±: 95% t-interval
over seeds."""
    text = page(facts, learning, results, seeds, LEARNT_FROM)
    with atomic_write(Path(__file__).with_suffix(".md")) as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-revise"))
    arguments = parser.parse_args()
    main(arguments.seeds, arguments.folder)
