"""A training run's folder, made up: a reward that rises while the second judge's rises, peaks and falls."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from tests.reference.fake_run import turn, write_lines

STEPS = 20


def entry(step: int) -> dict[str, Any]:
    """A line of ``metrics.jsonl``: d = √KL grows by .1 a step, the reward is d, the second judge d (1 − .8 log d) / 2."""
    d = 0.1 * step
    second = 0.5 * d * (1 - 0.8 * math.log(d)) if d else 0.0
    held = {
        "heldout_reward": d,
        "heldout_reward_std": 0.5,
        "heldout_second_reward": second,
        "heldout_second_reward_std": 0.25,
        "heldout_kl": d * d,
        "monitor_fall_z": None if step < 10 else step - 14.0,
    }
    if step == 0:
        return {"step": 0, **held}
    seconds = {"seconds_sampling": 1.0, "seconds_waiting": 1.5 + step % 2, "seconds_learning": 1.0}
    trained = {"reward": d - 0.05, "kl": d * d, "length": 30.0 + step, "ended": 1.0, "failed": 0.0, "reward/principles/kind": d}
    return {"step": step, **trained, **seconds, "odd": 0.5 * step, **(held if step % 2 == 0 else {})}


def samples(text: str) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "id": f"row {prompt}",
            "prompt": [turn("user", text if prompt == 0 else f"Prompt {prompt}?")],
            "response": f"{text} at step {step}",
            "ended": step < 10,
            "reward": None if step == 2 else 0.1 * step,
            "rewards": {},
            "second": {"reward": 0.5, "rewards": {}},
        }
        for step in range(0, STEPS + 1, 2)
        for prompt in range(3)
    ]


def write_training(folder: Path, text: str = "words", steps: int = STEPS, **facts: Any) -> Path:
    """text: what an outsider may have written."""
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "metrics.jsonl", map(entry, range(steps + 1)))
    write_lines(folder / "samples.jsonl", samples(text))
    write_lines(folder / "warnings.jsonl", [{"step": 9, "warning": text}])
    run = {
        "kind": "train",
        "method": "ppo",
        "source": "prompts.jsonl",
        "base": "base@0123",
        "status": "finished",
        "command": f"rlaif train ppo {text}",
        "config": {"beta": 0.05},
        "data": {"used": 100, "held_out": 8},
        "reward": {"reward": "critic"},
        "second": {"reward": "gold"},
        "learning_rate": 1e-3,
        "seed": 0,
        "steps": steps,
        "stopped": None,
        "model_of_step": 14,
        "seconds": 12.5,
        "versions": {"rlaif": "0.1.0"},
        **facts,
    }
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    return folder
