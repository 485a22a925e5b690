"""How good reward models get from a critic's labels, in the lab and on real text: writes benchmarks/reward.md.

    python -m benchmarks.reward alpaca_eval_gpt4_turbo.jsonl.gz [--folder runs/benchmark-reward]

The file is AlpacaEval's judgements by GPT-4-turbo: rows of prompt and responses, the first one the baseline's, the others each
with judge_p_vs_first. It can be stopped: the next call makes what is missing and then writes the page. A second process with
the same command, started while the first one runs, shares the work.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from transformers.utils.logging import set_verbosity_error

from benchmarks.lab_grid import CONSTITUTION, Cell, run_grid, total
from benchmarks.lab_labels import write_records
from benchmarks.reward_page import PREDICTIONS, Lab, Row, lab_differences, lab_table, text_table
from benchmarks.reward_text import PAIRS, RECIPE, VOCABULARY, WIDTH, distil
from rlaif.data.records import PreferenceRecord, read_records
from rlaif.data.rows import Turn
from rlaif.data.write import atomic_write
from rlaif.lab.gold import gold
from rlaif.lab.world import rows
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.progress import Progress
from rlaif.settings import configure
from rlaif.train.config import configuration
from rlaif.train.kinds import Labels
from rlaif.train.predict import RewardModel, combine
from rlaif.train.run import run_train

COMMAND = "python -m benchmarks.reward alpaca_eval_gpt4_turbo.jsonl.gz"
ROWS, TRAINED, TESTED = 1000, 400, 500
"""Pairs that each critic labels, how many of them one run draws, and held-out pairs."""
CRITICS: Mapping[str, Mapping[str, Any]] = {
    "critic": {"critic": "lab", "orders": "both"},
    "fallible": {"critic": "lab:fallible", "orders": "ab"},
}
FLIPPED = 0.25
"""Share of the critic's labels that are turned around where labels are to be noisy, as in Coste et al."""
MEMBERS = (1, 3, 5)
RATES = {"lab:policy": 2e-3, "lab": 5e-4}
"""Learning rates, chosen on other prompts than the figures are of, by the model that the reward model starts from."""
LAB: Mapping[str, Any] = {"epochs": 2.0, "batch_size": 16, "micro_batch": 16}


LAB_ROWS = [
    *(Row(source, labels, members) for source in ("critic", "flipped") for labels in get_args(Labels) for members in MEMBERS),
    *(Row("fallible", labels, 1) for labels in get_args(Labels)),
    Row("critic", "soft", 1, "lab"),
]


def cells(folder: Path, seeds: Sequence[int], alpaca: Path) -> dict[str, Cell]:
    """Everything that is trained. The labels are in ``folder`` by then."""
    found = {
        row.run(seed): Cell({**LAB, "rate": RATES[row.base], "rows": [TRAINED, TESTED]}, partial(_train, folder, row, seed))
        for row in LAB_ROWS
        for seed in seeds
    }
    text = Cell({**RECIPE, "pairs": PAIRS, "size": [VOCABULARY, WIDTH]}, partial(distil, alpaca, folder / "text"))
    return {**found, "text": text}


def _label(folder: Path, critic: str, display: Progress) -> dict[str, float]:
    """Label the lab's rows; how far the labels agree with gold, where gold has an opinion."""
    write_records(folder / "rows.jsonl", rows(ROWS, 0, "train"))
    options = dict(CRITICS[critic])
    config = configure(
        LabelConfig,
        source=str(folder / "rows.jsonl"),
        constitution=CONSTITUTION,
        out=folder / f"labels-{critic}",
        store=folder / "labels.sqlite",
        engine="transformers",
        overwrite=True,
        **options,
    )
    run_label(config, display)
    right, sure = [], []
    for record in read_records(config.out / "preferences.jsonl", PreferenceRecord):
        better, worse = _gold(record.prompt, record.chosen), _gold(record.prompt, record.rejected)
        sure.append(record.p_chosen)
        right += [better > worse] * (abs(better - worse) > 1e-9)
    return {"agreement": statistics.fmean(right), "p": statistics.fmean(sure)}


def _gold(prompt: Sequence[Turn], response: Sequence[Turn]) -> float:
    return total(gold(prompt[-1]["content"], response[-1]["content"]))


def _train(folder: Path, row: Row, seed: int, display: Progress) -> dict[str, dict[str, float]]:
    """One reward model, on pairs of its own draw; its figures on held-out prompts by way to predict."""
    out = folder / row.run(seed)
    draw = random.Random(seed)
    labelled = folder / f"labels-{'critic' if row.source == 'flipped' else row.source}" / "preferences.jsonl"
    records = draw.sample(list(read_records(labelled, PreferenceRecord)), TRAINED)
    if row.source == "flipped":
        turned = set(draw.sample(range(TRAINED), round(FLIPPED * TRAINED)))
        records = [replace(one, p_chosen=1 - one.p_chosen) if n in turned else one for n, one in enumerate(records)]
    write_records(out.with_suffix(".jsonl"), [record.to_dict() for record in records])
    config = configure(
        configuration("reward"),
        source=str(out.with_suffix(".jsonl")),
        model=row.base,
        out=out,
        members=row.members,
        labels=row.labels,
        learning_rate=RATES[row.base],
        seed=seed,
        save_every=10**6,
        overwrite=True,
        **LAB,
    )
    began = time.process_time()
    run_train(config, display)
    seconds = time.process_time() - began
    display.stage("score", 1, 0)
    held = list(rows(TESTED, 1, "heldout"))
    answers = [(row["prompt"], response) for row in held for response in row["responses"]]
    model = RewardModel(str(out / "model"))
    scores = model.members([({"role": "user", "content": prompt},) for prompt, _ in answers], [x["text"] for _, x in answers])
    truth = np.array([total(response["gold"]) for _, response in answers])
    shutil.rmtree(out)
    found: dict[str, Any] = {prediction: _figures(combine(scores, prediction).numpy(), truth) for prediction in PREDICTIONS}
    return {**found, "run": {"seconds": seconds, "spread": float(scores.std(-1, correction=0).mean())}}


def _figures(scores: Any, truth: Any) -> dict[str, float]:
    """scores, truth: [2N], two responses to each prompt after one another."""
    said, real = (values[::2] - values[1::2] for values in (scores, truth))
    untied = np.abs(real) > 1e-9
    return {
        "accuracy": float(np.mean((said * real > 0)[untied])),
        "correlation": float(np.corrcoef(scores, truth)[0, 1]),
    }


def page(lab: Lab, text: Mapping[str, Any]) -> str:
    """The whole of benchmarks/reward.md."""
    seconds = statistics.median(lab.results[row.run(seed)]["run"]["seconds"] for row in LAB_ROWS for seed in lab.seeds)
    return f"""# Reward models

Written by `{COMMAND}`.

## In the lab

`rlaif train reward` on {TRAINED} of {ROWS} pairs of the grammar's replies, which a critic labelled by `constitutions/lab.yaml`:
batch {LAB["batch_size"]}, {LAB["epochs"]:.0f} epochs, {seconds:.0f} seconds of one CPU core (median of the runs). Accuracy: of
{TESTED} held-out pairs (other prompts), without ties of gold, the share in which the response with more gold (the principles'
weighted mean) scores higher. {len(lab.seeds)} seeds, each with a draw of rows, heads, weights of the rows and an order of its
own; ±: 95% t-interval over them. Members are heads on one shared model; uncertainty: mean − ½ variance. r: correlation of the
mean score with gold, over all responses. Spread: standard deviation of the members' scores of one response, where the scores
of all responses have 1.

{lab_table(lab, LAB_ROWS)}

Differences in accuracy, paired by seed and averaged over the other settings (from `lab:policy`):

{lab_differences(lab, ("critic", "flipped"), MEMBERS)}

{text_section(text)}"""


def text_section(text: Mapping[str, Any]) -> str:
    """What was made of the real judgements."""
    seen, unseen = text["prompts"]
    return f"""## Distilling GPT-4-turbo

`rlaif train reward` from an encoder with random weights ({text["parameters"] / 1e3:.0f}k parameters, its tokenizer learnt from
the training prompts' answers) on {text["pairs"]:,} random pairs of ten models' answers to {seen} AlpacaEval prompts:
{text["tokens"]:,} tokens, context {RECIPE["context"]}, {RECIPE["epochs"]:.0f} epoch, batch {RECIPE["batch_size"]}, learning
rate {RECIPE["learning_rate"]:g}; {text["cpu_seconds"] / 60:.1f} CPU minutes (threads: {text["threads"]},
{text["seconds"] / 60:.1f} minutes by the clock). The judge compared each answer with one baseline model's; a pair's p is σ of
the difference of both answers' logits. {unseen} other prompts are held out, answered by the same ten models; settings were
chosen without them. A pair is judged where |Δp| > .05; it is length-matched where one answer has .8 to 1.25 times the
characters of the other. In brackets: 95% bootstrap interval over prompts.

{text_table(text["figures"])}

Length alone prefers the longer answer. Style alone is a logistic regression on nine counts (length, lines, list items, bold,
commas, digits, word length, repetition, last character), fitted on all training pairs. The author's mean p knows which model
wrote an answer, which a reward model is not told, and what the judge thinks of that model on the training prompts.
"""


def main(alpaca: Path, folder: Path, seeds: Sequence[int]) -> None:
    set_verbosity_error()
    asked = {critic: Cell({**CRITICS[critic], "rows": ROWS}, partial(_label, folder, critic)) for critic in CRITICS}
    found = run_grid({f"labels-{critic}": cell for critic, cell in asked.items()}, folder)
    results = run_grid(cells(folder, seeds, alpaca), folder)
    agreement = {critic: found[f"labels-{critic}"]["agreement"] for critic in CRITICS}
    agreement["flipped"] = agreement["critic"] + FLIPPED * (1 - 2 * agreement["critic"])
    lab = Lab(results, agreement, seeds)
    with atomic_write(Path(__file__).with_suffix(".md")) as file:
        file.write(page(lab, results["text"]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("alpaca", type=Path)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-reward"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="at least two, for the intervals")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    main(arguments.alpaca, arguments.folder, arguments.seeds)
