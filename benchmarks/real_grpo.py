"""SmolLM2 learns from its trained critic by GRPO, and a judge that training never saw looks on: ``benchmarks.real grpo``."""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_parts import CONTEXT, DRAWS, rlaif, write
from rlaif.evaluate.intervals import mean_interval, resampled

SHORT = 300
"""Characters of the longest conversation that is answered: sampling and learning are paid by the token."""
STEPS, EVERY, HELD_OUT = 10, 5, 16
RESPONSES = 2 * HELD_OUT
LEARNING = ["--batch-size", 4, "--samples", 4, "--max-tokens", 40, "--context", 128, "--lora", 8, "--precision", "bfloat16"]
LEARNING += ["--learning-rate", 1e-3]
SECOND = """\
sources:
  - {{id: reward-model, kind: model, reward_model: "{folder}"}}
"""


def grpo(options: argparse.Namespace) -> None:
    """``options.judges``: a folder of ``benchmarks.real hh``, with the critic, its questions, and the pairs that it never saw,
    whose conversations are answered here. ``options.second``: a reward model's folder."""
    out, judges = options.out.resolve(), options.judges.resolve()
    out.mkdir(parents=True, exist_ok=True)
    short = [row for row in entries(judges / "held.jsonl") if len(row["chosen"].rpartition("\n\nAssistant:")[0]) < SHORT]
    prompts = write(out / "prompts.jsonl", short)
    second = out / "second.yaml"
    second.write_text(SECOND.format(folder=options.second.resolve()), encoding="utf-8")
    asked = ["--reward", "critic", "--critic", judges / "critic", "--constitution", judges / "harmless.yaml"]
    asked += ["--prompts", judges / "prompts", "--critic-context", CONTEXT, "--min-mass", 0, "--store", out / "verdicts.sqlite"]
    watch = ["--second", second, "--eval-prompts", HELD_OUT, "--eval-every", EVERY, "--save-every", EVERY]
    run = out / "run"
    rlaif("train", "grpo", prompts, "--model", options.model, *asked, *LEARNING, *watch, "--steps", STEPS, "--out", run)
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
    before, after = ([each for each in samples if each["step"] == step] for step in (0, last))
    rewards = [[each["reward"] for each in part] for part in (before, after)]
    seconds = [[each["second"]["reward"] for each in part] for part in (before, after)]
    for name, (then, now) in (("held-out reward", rewards), ("second judge", seconds)):
        gains = np.array(now) - np.array(then)
        gain = mean_interval(gains, resampled(np.arange(len(gains)), DRAWS, 0), len(gains))
        print(f"{name}: {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] on the first responses to {len(gains)} prompts")
    for old, new in zip(before, after, strict=True):
        print(f"\n{old['prompt'][-1]['content']}")
        for sample in (old, new):
            print(f"  step {sample['step']} ({sample['reward']}, {sample['second']['reward']}): {sample['response']!r}")


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def mean(step: dict[str, Any], name: str) -> str:
    """A mean over held-out responses with its 95% interval."""
    half = 1.96 * step[f"{name}_std"] / math.sqrt(RESPONSES)
    return f"{step[name]:+.3f} ± {half:.3f}"
