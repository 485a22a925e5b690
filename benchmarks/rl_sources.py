"""What the on-policy benchmark's runs learn from: prompts, constitutions, mixes and reward models, one set for each seed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from benchmarks.lab_grid import CONSTITUTION, prompts
from benchmarks.lab_labels import write_labels, write_records
from rlaif.constitution.load import load_constitution
from rlaif.lab.gold import CITED
from rlaif.progress import Progress
from rlaif.rl.monitor.limits import LIMITS
from rlaif.rl.rewards.config import RewardConfig
from rlaif.settings import configure
from rlaif.train.config import configuration
from rlaif.train.run import run_train

PROMPTS = 3000
"""Prompts that a run may draw from."""
LABELLED, RESPONSES = 360, 4
"""Prompts whose responses are compared for the reward models, and responses to each."""
REWARD_MODEL: Mapping[str, Any] = {"learning_rate": 2e-3, "batch_size": 16, "micro_batch": 16}
EPOCHS = 3.0
UNSEEN = "correct"
"""The principle that the lab's critic is blind to (benchmarks/lab.md), and for which there is a verifier."""
VERIFIER_WEIGHT, BALANCED_WEIGHT = 2.0, 1.5
"""Of the verifier for it in the two mixes, beside the other principles' weights. (Its 0 to 1 is half a critic's scale.)"""
HELPFUL = 1.6
"""Weight of ``helpful`` in the balanced mix, 1 in the other: a policy that does not know the answer is right more often when it
does not answer."""
MODELS = ("critic", "gold")
PER_CITATION = 0.05
"""What the reward that is there to be over-optimised adds to a reward model's score for each citation."""


def citations(row: Mapping[str, Any], response: str) -> float:
    """A verifier with a hole: it counts the sentences that name a source, however often they are repeated."""
    return float(sum(response.count(sentence) for sentence in CITED))


def write_files(folder: Path, seed: int, display: Progress) -> dict[str, float]:
    """Labels of the seed, and its prompts."""
    found = write_labels(folder / f"labels-{seed}", "train", LABELLED, RESPONSES, seed, display)
    write_records(folder / f"prompts-{seed}.jsonl", ({"prompt": text} for text in prompts("train", PROMPTS, seed)))
    return found


def write_settings(folder: Path, seeds: Sequence[int]) -> None:
    """The YAML files of all runs: constitutions, mixes, second judges, limits."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (_files() | {f"gamed-{seed}": _gamed(seed) for seed in seeds}).items():
        with (folder / f"{name}.yaml").open("w", encoding="utf-8") as file:
            YAML().dump(content, file)


def _gamed(seed: int) -> dict[str, Any]:
    model = {"id": "model", "kind": "model", "reward_model": f"model-critic-{seed}/model"}
    count = {"id": "citations", "kind": "verifier", "verifier": f"{__name__}:citations", "weight": PER_CITATION}
    return {"sources": [model, count, _ASIDE]}


_ASIDE = {"id": "gold", "kind": "gold", "weight": 0.0}
"""Only written down, beside what is trained on."""


def _files() -> dict[str, Any]:
    resolved = load_constitution(CONSTITUTION).resolved()
    seen = [each for each in resolved["principles"] if each["id"] != UNSEEN]
    balanced = [{**each, "weight": HELPFUL} if each["id"] == "helpful" else each for each in seen]
    never = {"warn": None, "stop": None}
    return {
        "seen": {**resolved, "principles": seen},
        "mix": _mix("seen.yaml", sum(each["weight"] for each in seen), VERIFIER_WEIGHT),
        "seen-balanced": {**resolved, "principles": balanced},
        "balanced": _mix("seen-balanced.yaml", sum(each["weight"] for each in balanced), BALANCED_WEIGHT),
        "strict": {"patience": 2, "limits": {"second-collapse": {"warn": 0.15, "stop": 0.3}}},
        # the test for a run past its best is to decide alone, and gold's columns are in the reward's too
        "past-its-best": {"limits": dict.fromkeys(LIMITS, never)},
        "never-stops": {"limits": dict.fromkeys(LIMITS, never), "fall": {"z": 1e9}},
    }


def _mix(constitution: str, critic: float, verifier: float) -> dict[str, Any]:
    judge = {"id": "critic", "kind": "critic", "critic": "lab", "constitution": constitution, "weight": critic}
    return {"sources": [judge, {"id": UNSEEN, "kind": "verifier", "verifier": "rlaif.lab.verify:correct", "weight": verifier}]}


def train_reward_model(folder: Path, name: str, seed: int, display: Progress) -> dict[str, Any]:
    """On all pairs that the judge ``name`` has labelled."""
    source = folder / f"labels-{seed}" / name / "preferences.jsonl"
    config = configure(
        configuration("reward"),
        source=str(source),
        model="lab:policy",
        out=folder / f"model-{name}-{seed}",
        epochs=EPOCHS,
        seed=seed,
        save_every=10**6,
        overwrite=True,
        **REWARD_MODEL,
    )
    run = run_train(config, display)
    shutil.rmtree(config.out / "checkpoints", ignore_errors=True)
    return {"metrics": run["metrics"]}


def rewards(folder: Path, name: str, seed: int) -> RewardConfig:
    """``critic``, ``mix``, ``balanced``, ``gamed``, or ``model-NAME`` of ``MODELS``."""
    if name == "critic":
        return configure(RewardConfig, critic="lab", constitution=CONSTITUTION)
    if name in ("mix", "balanced"):
        return configure(RewardConfig, reward=str(folder / f"{name}.yaml"))
    if name == "gamed":
        return configure(RewardConfig, reward=str(folder / f"gamed-{seed}.yaml"))
    return configure(RewardConfig, reward="model", reward_model=str(folder / f"{name}-{seed}" / "model"))
