"""What on-policy training makes of the lab's policy, by method and reward, and whether the monitor sees over-optimisation.

    python -m benchmarks.rl [--seeds 0 1 2] [--folder runs/benchmark-rl]

A grid of runs of at most six minutes of one core. It can be stopped: the next call makes what is missing and then writes
benchmarks/rl.md and its plot. A second process with the same command, started while the first one runs, shares the work.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import set_verbosity_error

from benchmarks.lab_grid import Cell, evaluate, run_grid
from benchmarks.rl_page import Results, page
from benchmarks.rl_sources import (
    EPOCHS,
    LABELLED,
    MODELS,
    PER_CITATION,
    PROMPTS,
    RESPONSES,
    REWARD_MODEL,
    rewards,
    train_reward_model,
    write_files,
    write_settings,
)
from benchmarks.train import RECIPES
from benchmarks.train import config_of as offline_config
from rlaif.data.write import atomic_write
from rlaif.lab.policy import MAX_TOKENS
from rlaif.progress import Progress
from rlaif.rl.config import RlConfig
from rlaif.rl.methods import find_method
from rlaif.rl.run import run_rl
from rlaif.settings import configure
from rlaif.train.run import run_train

COMMAND = "python -m benchmarks.rl"
TESTED = 600
"""Held-out prompts that a policy answers."""
GROUPS: Mapping[str, Any] = {"batch_size": 32, "samples": 4, "steps": 60}
SINGLE: Mapping[str, Any] = {"batch_size": 128, "steps": 50, "value_rate": 1e-3}
OFFLINE = "dpo-hard"
"""The row of benchmarks/train.md with the highest total from the critic's labels, here trained on this benchmark's pairs."""


@dataclass(frozen=True)
class Run:
    """A row of the table. settings: fields of the method's configuration. files: fields that name a file of the folder."""

    method: str
    reward: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


COMMON: Mapping[str, Any] = {"learning_rate": 1e-3, "warmup": 0.05, "minibatches": 2, "eval_every": 20}
_PPO: Mapping[str, Any] = {**SINGLE, "epochs": 2, "beta": 0.03}
_RLOO: Mapping[str, Any] = {**GROUPS, "beta": 0.03}
_MIX: Mapping[str, Any] = {**GROUPS, "beta": 0.01, "learning_rate": 1.5e-3, "steps": 50}
_BALANCED: Mapping[str, Any] = {**_MIX, "learning_rate": 1.2e-3, "steps": 90}
RUNS: Mapping[str, Run] = {
    "reinforce": Run("reinforce", "critic", {**SINGLE, "beta": 0.03}),
    "ppo": Run("ppo", "critic", _PPO),
    "ppo-model": Run("ppo", "model-critic", _PPO),
    "ppo-human": Run("ppo", "model-gold", _PPO),
    "grpo": Run("grpo", "critic", GROUPS),
    "rloo": Run("rloo", "critic", _RLOO),
    "rloo-kl": Run("rloo", "critic", {**_RLOO, "beta": 0.1}),
    "rloo-monitor": Run("rloo", "critic", {**_RLOO, "eval_every": 5}, {"second": "mix.yaml", "monitor": "strict.yaml"}),
    "rloo-verifier": Run("rloo", "mix", _MIX),
    "ppo-verifier": Run("ppo", "mix", _PPO),
    "rloo-balanced": Run("rloo", "balanced", {**_BALANCED, "steps": 100}),
    "rloo-balanced-.009": Run("rloo", "balanced", {**_BALANCED, "beta": 0.009}),
    "rloo-balanced-.008": Run("rloo", "balanced", {**_BALANCED, "beta": 0.008}),
}
"""Settings were chosen on other prompts than the figures are of, but for one: see the page."""
_WATCHED: Mapping[str, Any] = {
    "batch_size": 64,
    "samples": 4,
    "schedule": "constant",
    "second": "gold",
    "eval_prompts": 128,
    "eval_every": 1,
}
_OVER: Mapping[str, Any] = {**_WATCHED, "learning_rate": 2.4e-4, "steps": 60, "beta": 0.0}
_HEALTHY: Mapping[str, Any] = {**_WATCHED, "steps": 44, "beta": 0.1}
WATCHED: Mapping[str, Run] = {
    "over": Run("rloo", "gamed", _OVER, {"monitor": "never-stops.yaml"}),
    "stopped": Run("rloo", "gamed", _OVER, {"monitor": "past-its-best.yaml"}),
    "healthy": Run("rloo", "model-critic", _HEALTHY, {"monitor": "past-its-best.yaml"}),
}
"""Over-optimisation on purpose to its end, the same with the monitor in charge, and runs as they should be."""
WATCHED_SEEDS = (0, 1, 2, 3, 4)


def config_for(folder: Path, name: str, run: Run, seed: int) -> RlConfig:
    """What ``rlaif train`` is asked for."""
    files = {key: folder / file if key == "monitor" else str(folder / file) for key, file in run.files.items()}
    reward = rewards(folder, run.reward, seed)
    given = {
        "source": str(folder / f"prompts-{seed}.jsonl"),
        "model": "lab:policy",
        "out": folder / f"{name}-{seed}",
        "max_tokens": MAX_TOKENS,
        "seed": seed,
        "overwrite": True,
    }
    return replace(configure(find_method(run.method), **{**given, **COMMON, **run.settings, **files}), rewards=reward)


def source_cells(folder: Path, seeds: Sequence[int]) -> dict[str, Cell]:
    what = {"labelled": LABELLED, "responses": RESPONSES, "prompts": PROMPTS}
    return {f"files-{seed}": Cell(what, partial(write_files, folder, seed)) for seed in seeds}


def model_cells(folder: Path, seeds: Sequence[int]) -> dict[str, Cell]:
    what = {**REWARD_MODEL, "epochs": EPOCHS}
    return {
        f"model-{name}-{seed}.run": Cell(what, partial(train_reward_model, folder, name, seed))
        for seed in seeds
        for name in MODELS
    }


def cells(folder: Path, seeds: Sequence[int]) -> dict[str, Cell]:
    """Everything that is measured."""
    found: dict[str, Cell] = {}
    for seed in WATCHED_SEEDS:
        for name, run in WATCHED.items():
            what = _what(run) | ({"per_citation": PER_CITATION} if run.reward == "gamed" else {})
            found[f"{name}-{seed}"] = Cell(what, partial(_watch, config_for(folder, name, run, seed)))
    for seed in seeds:
        found[f"base-{seed}"] = Cell({"tested": TESTED}, partial(_base, seed))
        found[f"offline-{seed}"] = Cell({**asdict(RECIPES[OFFLINE]), "tested": TESTED}, partial(_offline, folder, seed))
        for name, run in RUNS.items():
            found[f"{name}-{seed}"] = Cell(_what(run), partial(_train, config_for(folder, name, run, seed)))
    return found


def _what(run: Run) -> dict[str, Any]:
    shape = {"method": run.method, "reward": run.reward, **COMMON, **run.settings, **run.files}
    return {**shape, "tested": TESTED}


def _base(seed: int, display: Progress) -> dict[str, Any]:
    display.stage("evaluate", 1, 0)
    return {"gold": evaluate("lab:policy", "heldout", TESTED, seed)}


def _offline(folder: Path, seed: int, display: Progress) -> dict[str, Any]:
    """The best offline method on the pairs of the seed's reward model."""
    data = folder / f"labels-{seed}" / "critic" / "preferences.jsonl"
    config = replace(offline_config(folder, OFFLINE, "critic", seed), source=str(data), out=folder / f"offline-{seed}")
    began = time.process_time()
    run_train(config, display)
    seconds = time.process_time() - began
    scores = evaluate(str(config.out / "model"), "heldout", TESTED, seed)
    shutil.rmtree(config.out)
    return {"gold": scores, "cpu_seconds": seconds}


def _train(config: RlConfig, display: Progress) -> dict[str, Any]:
    """One run; gold of its model's replies to held-out prompts."""
    result, _ = _run(config, display)
    display.stage("evaluate", 1, 0)
    result["gold"] = evaluate(str(config.out / "model"), "heldout", TESTED, config.seed)
    shutil.rmtree(config.out)
    return result


def _watch(config: RlConfig, display: Progress) -> dict[str, Any]:
    """One run; what was measured at each of its evaluations, and gold of the rollouts that each step was trained on, which
    are the policy's of the step before."""
    result, lines = _run(config, display)
    kept = ("step", "heldout_kl", "heldout_reward", "heldout_second_reward")
    result["curve"] = [{name: line[name] for name in kept} for line in lines if "heldout_kl" in line]
    rewarded = "reward/sources/gold"
    result["rollouts"] = {line["step"] - 1: line[rewarded] for line in lines if rewarded in line}
    shutil.rmtree(config.out)
    return result


def _run(config: RlConfig, display: Progress) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    began, cpu = time.monotonic(), time.process_time()
    run = run_rl(config, display)
    lines = [json.loads(line) for line in (config.out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    kl = next(line["heldout_kl"] for line in lines if line["step"] == run["model_of_step"])
    seconds = {"cpu_seconds": time.process_time() - cpu, "seconds": time.monotonic() - began}
    return {"stopped": run["stopped"], "model_of_step": run["model_of_step"], "kl": kl, **seconds}, lines


def main(seeds: Sequence[int], folder: Path) -> None:
    torch.set_num_threads(1)
    set_verbosity_error()
    every = sorted({*seeds, *WATCHED_SEEDS})
    write_settings(folder, every)
    run_grid(source_cells(folder, every), folder)
    run_grid(model_cells(folder, every), folder)
    text, plot = page(Results(run_grid(cells(folder, seeds), folder), seeds), OFFLINE, {**RUNS, **WATCHED}, COMMAND)
    for path, content in ((Path(__file__).with_suffix(".md"), text), (Path(__file__).with_suffix(".svg"), plot)):
        with atomic_write(path) as file:
            file.write(content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="at least two, for the intervals")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-rl"))
    arguments = parser.parse_args()
    main(arguments.seeds, arguments.folder)
