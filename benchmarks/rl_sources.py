"""What the on-policy benchmark's runs learn from: prompts, constitutions, mixes and reward models, one set for each seed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.lab_grid import CONSTITUTION, WEIGHTS, Display, prompts
from benchmarks.lab_labels import write_labels, write_records
from rlaif.constitution.load import load_constitution
from rlaif.data.exports import read_records
from rlaif.rl.limits import LIMITS
from rlaif.rl.rewards.config import RewardConfig
from rlaif.train.config import TrainConfig, settings_of
from rlaif.train.loop import Progress
from rlaif.train.run import run_train

PROMPTS = 3000
"""Prompts that a run may draw from."""
LABELLED, RESPONSES = 360, 4
"""Prompts whose responses are compared for the reward models, and responses to each."""
FEW = 100
"""Pairs that the reward model is trained on that is there to be over-optimised."""
REWARD_MODEL: Mapping[str, Any] = {"learning_rate": 2e-3, "batch_size": 16, "micro_batch": 16}
EPOCHS = 3.0
UNSEEN = "correct"
"""The principle that the lab's critic is blind to (benchmarks/lab.md), and for which there is a verifier."""
VERIFIER_WEIGHT = 2.0 * WEIGHTS[UNSEEN]
"""Beside the other principles' weights: twice its own, as a verifier's 0 to 1 is half a critic's scale."""
MODELS = ("critic", "gold", "few")


def write_files(folder: Path, seed: int, display: Display) -> dict[str, float]:
    """Labels of the seed, its prompts, and the YAML files, which are the same for every seed."""
    found = write_labels(folder / f"labels-{seed}", "train", LABELLED, RESPONSES, seed, display)
    write_records(folder / f"prompts-{seed}.jsonl", ({"prompt": text} for text in prompts("train", PROMPTS, seed)))
    for name, content in _files().items():
        with (folder / f"{name}.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(content, file)
    return found


def _files() -> dict[str, Any]:
    resolved = load_constitution(CONSTITUTION).resolved()
    seen = {**resolved, "principles": [each for each in resolved["principles"] if each["id"] != UNSEEN]}
    critic = {"id": "critic", "kind": "critic", "critic": "lab"}
    others = sum(WEIGHTS.values()) - WEIGHTS[UNSEEN]
    verifier = {"id": UNSEEN, "kind": "verifier", "verifier": "rlaif.lab.verify:correct", "weight": VERIFIER_WEIGHT}
    judge = {**critic, "constitution": str(CONSTITUTION)}
    aside = {"id": "gold", "kind": "gold", "weight": 0.0}  # only written down, beside what the monitor goes by
    never = {"warn": None, "stop": None}
    return {
        "seen": seen,
        "mix": {"sources": [{**critic, "constitution": "seen.yaml", "weight": others}, verifier]},
        "second": {"sources": [judge, aside]},
        "strict": {"patience": 2, "limits": {"second-collapse": {"warn": 0.15, "stop": 0.3}}},
        # the second judge's columns hold gold, which nothing may be decided by
        "default": {"limits": {"second-collapse": never}},
        "never-stops": {"limits": dict.fromkeys(LIMITS, never), "fall": {"z": 1e9}},
    }


def train_reward_model(folder: Path, name: str, seed: int, display: Display) -> dict[str, Any]:
    """``few`` is trained on the first of the critic's pairs, the others on all pairs of their judge."""
    source = folder / f"labels-{seed}" / ("gold" if name == "gold" else "critic") / "preferences.jsonl"
    if name == "few":
        records = list(read_records(source))
        source = folder / f"few-{seed}.jsonl"
        write_records(source, random.Random(seed).sample(records, FEW))
    config = TrainConfig(
        method="reward",
        source=str(source),
        model="lab:policy",
        out=folder / f"model-{name}-{seed}",
        settings=settings_of("reward", {}),
        epochs=EPOCHS,
        seed=seed,
        save_every=10**6,
        overwrite=True,
        **REWARD_MODEL,
    )
    run = run_train(config, Progress(*display))
    shutil.rmtree(config.out / "checkpoints", ignore_errors=True)
    return {"metrics": run["metrics"]}


def rewards(folder: Path, name: str, seed: int) -> RewardConfig:
    """``critic``, ``mix``, or ``model-NAME`` of ``MODELS``."""
    if name == "critic":
        return RewardConfig(critic="lab", constitution=CONSTITUTION)
    if name == "mix":
        return RewardConfig(reward=str(folder / "mix.yaml"))
    return RewardConfig(reward="model", reward_model=str(folder / f"{name}-{seed}" / "model"))
