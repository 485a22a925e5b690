"""Does training on the critic's labels make the lab's policy better, by each method, and how does it compare with gold labels?

    python -m benchmarks.train [--seeds 0 1 2] [--folder runs/benchmark-train]

A grid of about a hundred runs of half a minute. It can be stopped: the next call makes what is missing and then writes
benchmarks/train.md. A second process with the same command, started while the first one runs, shares the work.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.utils.logging import set_verbosity_error

from benchmarks.lab_grid import Cell, evaluate, mean_gold, prompts, run_grid, sample, total
from benchmarks.lab_labels import PAIRED, PAIRS, label, write_labels, write_records
from benchmarks.train_page import Results, page
from rlaif.data.records import SftRecord, read_records
from rlaif.data.write import atomic_write
from rlaif.lab.gold import gold
from rlaif.progress import Progress
from rlaif.settings import configure
from rlaif.train.config import TrainConfig, configuration
from rlaif.train.run import run_train

COMMAND = "python -m benchmarks.train"
ROWS, N = 256, 16
"""Prompts that are labelled, and responses to each of them that best-of-n chooses from."""
TESTED, SELECTED = 400, 128
"""Held-out prompts that a policy answers, and those on which the best of n responses is selected."""
BATCH = 32
SOURCES = ("critic", "gold")
FILES = {"sft": "sft.jsonl", "kto": "unpaired.jsonl"}


@dataclass(frozen=True)
class Recipe:
    """How a method is run; settings are its own, by the names that ``rlaif train`` gives them."""

    learning_rate: float
    epochs: float
    settings: Mapping[str, Any] = field(default_factory=dict)


RECIPES: Mapping[str, Recipe] = {
    "sft": Recipe(5e-4, 3),
    "best-of-n": Recipe(5e-4, 3),
    **{f"dpo-{labels}": Recipe(1e-3, 1, {"beta": 0.1}) for labels in ("soft", "hard")},
    **{f"ipo-{labels}": Recipe(1e-3, 1, {"tau": 0.1, "per_token": True}) for labels in ("soft", "hard")},
    **{f"kto-{labels}": Recipe(1e-3, 1, {"beta": 0.1}) for labels in ("soft", "hard")},
    **{f"orpo-{labels}": Recipe(1e-3, 1, {"weight": 1.0}) for labels in ("soft", "hard")},
    **{f"cpo-{labels}": Recipe(1e-3, 1, {"beta": 0.1, "alpha": 1.0}) for labels in ("soft", "hard")},
    **{f"simpo-{labels}": Recipe(1e-3, 1, {"beta": 2.0, "gamma": 1.0}) for labels in ("soft", "hard")},
}
"""By row of the table. Chosen with the critic's labels, on other prompts and samples than the figures are of."""


LABELS = {"rows": ROWS, "responses": N, "paired": PAIRED, "pairs": PAIRS}


def label_cells(folder: Path, seeds: Sequence[int]) -> dict[str, Cell]:
    """Samples of the base policy and the labels on them, one data set per seed, in ``folder/labels-SEED/``."""

    def cell(seed: int) -> Cell:
        out = folder / f"labels-{seed}"
        return Cell({**LABELS, "seed": seed}, lambda display: write_labels(out, "train", ROWS, N, seed, display))

    return {f"labels-{seed}": cell(seed) for seed in seeds}


def cells(folder: Path, seeds: Sequence[int], noise: Mapping[int, float]) -> dict[str, Cell]:
    """Everything that is measured, on the labels' data sets. noise: T of the gold labels, by seed."""
    found: dict[str, Cell] = {}
    for seed in seeds:
        found[f"base-{seed}"] = Cell({"tested": TESTED}, partial(_base, seed))
        found[f"select-{seed}"] = Cell(
            {"prompts": SELECTED, "n": N}, partial(_select, folder / f"select-{seed}", seed, noise[seed])
        )
        for row, recipe in RECIPES.items():
            for source in SOURCES:
                name = f"{row}-{source}-{seed}"
                config = config_of(folder, row, source, seed)
                found[name] = Cell({**asdict(recipe), "tested": TESTED, "labels": LABELS}, partial(_train, config))
    for row in RECIPES:
        if not row.endswith("-hard"):
            found[f"cost-{row}"] = Cell(asdict(RECIPES[row]), partial(_cost, config_of(folder, row, "critic", seeds[0])))
    return found


def config_of(folder: Path, row: str, source: str, seed: int) -> TrainConfig:
    """What ``rlaif train`` is asked for."""
    recipe, (method, _, labels) = RECIPES[row], row.replace("best-of-n", "sft").partition("-")
    data = folder / f"labels-{seed}" / (f"{source}-best" if row == "best-of-n" else source)
    config = training(method, recipe, data / FILES.get(method, "preferences.jsonl"), folder / f"{row}-{source}-{seed}", seed)
    return replace(config, labels="hard" if labels == "hard" else "soft")


def training(method: str, recipe: Recipe, source: Path, out: Path, seed: int) -> TrainConfig:
    """The lab's policy trained by the recipe."""
    return configure(
        configuration(method),
        source=str(source),
        model="lab:policy",
        out=out,
        **recipe.settings,
        epochs=recipe.epochs,
        batch_size=BATCH,
        micro_batch=BATCH,
        learning_rate=recipe.learning_rate,
        save_every=10**6,
        seed=seed,
        overwrite=True,
    )


def _base(seed: int, display: Progress) -> dict[str, Any]:
    display.stage("evaluate", 1, 0)
    return {"gold": evaluate("lab:policy", "heldout", TESTED, seed)}


def _train(config: TrainConfig, display: Progress) -> dict[str, Any]:
    began = time.process_time()
    run = run_train(config, display)
    seconds = time.process_time() - began
    display.stage("evaluate", 1, 0)
    scores = evaluate(str(config.out / "model"), "heldout", TESTED, config.seed)
    shutil.rmtree(config.out)
    return {"gold": scores, "cpu_seconds": seconds, "examples": run["data"]["used"], "metrics": run["metrics"]}


def _select(out: Path, seed: int, noise: float, display: Progress) -> dict[str, Any]:
    """Mean gold of the base policy's best of n by the critic's score, by noisy gold and by gold itself: no training."""
    display.stage("sample", 1, 0)
    asked = prompts("heldout", SELECTED, seed)
    drawn = sample("lab:policy", asked, N, seed)
    write_records(out / "rows.jsonl", [{"prompt": x, "responses": y} for x, y in zip(asked, drawn, strict=True)])
    label(out / "rows.jsonl", out / "scores", display, mode="score", pairs="1", export=("sft",))
    best = [record.completion[0]["content"] for record in read_records(out / "scores" / "sft.jsonl", SftRecord)]
    truth = np.array([[total(gold(x, text)) for text in y] for x, y in zip(asked, drawn, strict=True)])
    noisy = truth + noise * np.random.default_rng([seed, N]).gumbel(size=truth.shape)
    shutil.rmtree(out)

    def by(values: Any) -> dict[str, float]:
        return mean_gold((x, y[k]) for x, y, k in zip(asked, drawn, values.argmax(1), strict=True))

    return {"critic": mean_gold(zip(asked, best, strict=True)), "gold": by(noisy), "oracle": by(truth)}


def _cost(config: TrainConfig, display: Progress) -> dict[str, Any]:
    display.stage("in a process of its own", 1, 0)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return {"peak_bytes": pool.submit(_peak, replace(config, out=config.out.with_name(f"cost-{config.out.name}"))).result()}


def _peak(config: TrainConfig) -> int:
    """Most memory resident at once, in bytes, in this process, of which a training run is all it does."""
    torch.set_num_threads(1)
    run_train(config)
    shutil.rmtree(config.out)
    # Not getrusage: its figure starts at the parent's.
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


def facts(seeds: Sequence[int]) -> str:
    return f"""Written by `{COMMAND}`. The lab's policy answered {ROWS} prompts {N} times. The first {PAIRED} responses to each
were compared ({PAIRS} of their six pairs); best-of-{N} chose among all of them by the critic's score, or by noisy gold. Then
one training run per row, source of labels and seed (all weights, batch {BATCH}), and {TESTED} held-out prompts answered once at
temperature 1 and scored by gold. The total is the mean of the principles by the weights of `constitutions/lab.yaml`.
{len(seeds)} seeds, each with prompts, samples, labels, order of rows and held-out prompts of its own. ±: 95% t-interval over
seeds; base answers the same held-out prompts, and differences are paired by seed. The last row of each table is the base
policy with the best of {N} responses picked, on {SELECTED} held-out prompts. Settings were chosen with the critic's labels, on
a data set of another seed and on prompts that are neither trained on nor tested on; they are the same for gold's labels."""


def main(seeds: Sequence[int], folder: Path) -> None:
    torch.set_num_threads(1)
    set_verbosity_error()
    labels = run_grid(label_cells(folder, seeds), folder)
    results = run_grid(cells(folder, seeds, {seed: labels[f"labels-{seed}"]["T"] for seed in seeds}), folder)
    text = page(Results(results, seeds), labels, RECIPES, facts(seeds))
    with atomic_write(Path(__file__).with_suffix(".md")) as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-train"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="at least two, for the intervals")
    arguments = parser.parse_args()
    main(arguments.seeds, arguments.folder)
