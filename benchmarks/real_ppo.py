"""SmolLM2 learns from its trained critic by PPO, and a judge that training never saw looks on: ``benchmarks.real ppo``."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

from benchmarks.real_parts import CONTEXT, rlaif, write

SHORT = 300
"""Characters of the longest prompt that is asked: sampling and learning are paid by the token."""
STEPS, EVERY, HELD_OUT = 24, 6, 32
LEARNING = ["--batch-size", 16, "--max-tokens", 48, "--context", 160, "--lora", 8, "--precision", "bfloat16"]
LEARNING += ["--learning-rate", 2e-4, "--epochs", 2, "--minibatches", 2, "--beta", 0.05]
SECOND = """\
sources:
  - {{id: reward-model, kind: model, reward_model: "{folder}"}}
"""


def ppo(options: argparse.Namespace) -> None:
    """critic: a folder of ``benchmarks.real hh``, which holds the critic, its questions, the reward model and the pairs that
    were held out of training both."""
    out, judges = options.out.resolve(), options.judges.resolve()
    out.mkdir(parents=True, exist_ok=True)
    short = [row for row in entries(judges / "held.jsonl") if len(row["chosen"].rpartition("\n\nAssistant:")[0]) < SHORT]
    prompts = write(out / "prompts.jsonl", short)
    second = out / "second.yaml"
    second.write_text(SECOND.format(folder=judges / "reward" / "model"), encoding="utf-8")
    asked = ["--reward", "critic", "--critic", judges / "critic", "--constitution", judges / "harmless.yaml"]
    asked += ["--prompts", judges / "prompts", "--critic-context", CONTEXT, "--min-mass", 0, "--store", out / "verdicts.sqlite"]
    watch = ["--second", second, "--eval-prompts", HELD_OUT, "--eval-every", EVERY, "--save-every", EVERY]
    run = out / "run"
    rlaif("train", "ppo", prompts, "--model", options.model, *asked, *LEARNING, *watch, "--steps", STEPS, "--out", run)
    print(f"{len(short)} prompts\n")
    report(run)


def report(run: Path) -> None:
    """The tables of the page, and what the monitor said."""
    print("| step | held-out reward | second judge | KL, nats | tokens | ended |\n|---|---|---|---|---|---|")
    steps = entries(run / "metrics.jsonl")
    for step in steps:
        if "heldout_reward" in step:
            cells = [mean(step, "heldout_reward"), mean(step, "heldout_second_reward")]
            cells += [f"{step['heldout_kl']:.2f}", f"{step['heldout_length']:.1f}", f"{step['heldout_ended']:.2f}"]
            print(f"| {step['step']} | {' | '.join(cells)} |")
    print("\nseconds of a step, medians")
    for name in ("seconds", "seconds_sampling", "seconds_waiting", "seconds_learning"):
        print(f"  {name}: {statistics.median(step[name] for step in steps if name in step):.1f}")
    for warning in entries(run / "warnings.jsonl"):
        print(f"step {warning['step']}: {warning['warning']}")
    samples = entries(run / "samples.jsonl")
    last = samples[-1]["step"]
    for old, new in zip(*([each for each in samples if each["step"] == step] for step in (0, last)), strict=True):
        print(f"\n{old['prompt'][-1]['content']}")
        for sample in (old, new):
            print(f"  step {sample['step']} ({sample['reward']}, {sample['second']['reward']}): {sample['response']!r}")


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def mean(step: dict[str, Any], name: str) -> str:
    """A mean over held-out responses with its 95% interval."""
    half = 1.96 * step[f"{name}_std"] / math.sqrt(HELD_OUT)
    return f"{step[name]:+.3f} ± {half:.3f}"
