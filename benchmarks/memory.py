"""The memory plan (rlaif/rl/memory.py) beside what two iterations' networks really hold, at 1, 30 and 135 million parameters.

    OMP_NUM_THREADS=1 python -m benchmarks.memory [--sizes 1M,30M,135M] [--out benchmarks/memory.md]

Each case is a process of its own: a random model of the size, made-up rollouts, PPO's looks, passes and steps, and samples
drawn with transformers. Counted is what torch's allocator hands out. Some two minutes of CPU time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.memory_peak import peak_of
from rlaif.data.rows import Row
from rlaif.models.load import Base
from rlaif.rl.batch import collate
from rlaif.rl.experience import estimate, look
from rlaif.rl.memory import Setting, Shape, fitted, plan
from rlaif.rl.methods.ppo import Ppo
from rlaif.rl.networks import build
from rlaif.rl.rollout import Query, Rollout
from rlaif.rl.samplers.transformers import TransformersSampler
from rlaif.rl.update import Learner

SIZES = {
    "1M": (4, 128, 384, 4, 2, 32, 1024),
    "30M": (12, 384, 1024, 6, 2, 64, 16_384),
    "135M": (30, 576, 1536, 9, 3, 64, 49_152),
}
"""Layers, hidden, inner, heads, heads of keys and values, their width, vocabulary; the last is SmolLM2-135M's shape."""
KINDS = {"all weights": (0, False), "LoRA 8": (8, False), "all weights, bfloat16": (0, True), "LoRA 8, bfloat16": (8, True)}
ROWS, PROMPT, NEW = 8, 32, 32


def measure(size: str, kind: str) -> dict[str, Any]:
    """Plan and peaks in bytes, phase by phase, and CPU seconds."""
    layers, hidden, inner, heads, kv_heads, head, vocabulary = SIZES[size]
    lora, bf16 = KINDS[kind]
    torch.set_num_threads(1)
    torch.manual_seed(0)
    architecture = LlamaConfig(
        num_hidden_layers=layers,
        hidden_size=hidden,
        intermediate_size=inner,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        head_dim=head,
        vocab_size=vocabulary,
        tie_word_embeddings=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        LlamaForCausalLM(architecture).save_pretrained(folder)
        settings: dict[str, Any] = {"lora": lora, "batch_size": ROWS, "max_tokens": NEW, "epochs": 1, "value_warmup": 0}
        given = Ppo(source="", model=folder, out=Path(folder), **settings)
        setting = Setting(Shape.of(architecture), bf16, PROMPT)
        config, planned = fitted(given, setting), plan(given, setting)
        begun = time.process_time()
        base = Base(folder, "", None, PROMPT + NEW, 0, bf16, torch.float32, False)
        networks = build(config, base)
        rollouts, queries = _made_up(vocabulary)
        batch, learner = collate(rollouts, 0), Learner(config, networks)
        peaks: dict[str, int] = {}
        views: list[Any] = []

        def draw() -> None:
            sampler = TransformersSampler(networks.policy, cast(Any, _Words()), [], NEW, config.sample_tokens or 0, False)
            sampler._sample(queries, 1, 1.0, 0)  # in this thread, which is the one that is watched

        peaks["sampling"] = peak_of(draw)
        peaks["looking"] = peak_of(lambda: views.append(look(networks, batch, 1.0, config.micro_tokens)))
        experience = estimate(config, batch, views[0], torch.linspace(-1, 1, ROWS), config.beta)
        learner.update(experience, 0, 1.0, config.beta)  # the optimiser's state is there from here on
        held = sum(_bytes(network) for network in {id(each.model): each.model for each in networks.here}.values())
        states = sum(
            value.numel() * value.element_size()
            for optimiser in learner.state_dict().values()
            for state in optimiser["state"].values()
            for value in state.values()
        )
        peaks["update"] = peak_of(lambda: learner.update(experience, 1, 1.0, config.beta))
    return {
        "parameters": setting.policy.parameters,
        "tokens": config.micro_tokens,
        "planned": planned.peak,
        "held": held + states + max(peaks.values()),
        "phases": {
            "always": (sum(planned.always.values()), held + states),
            **{name: (sum(planned.phases[name].values()), peaks[name]) for name in ("sampling", "looking")},
            "update": (max(sum(planned.phases[name].values()) for name in ("policy", "value net")), peaks["update"]),
        },
        "seconds": time.process_time() - begun,
    }


class _Words:
    """All that a sampler wants of a tokenizer."""

    def decode(self, ids: list[int], **_: Any) -> str:
        return " ".join(map(str, ids))


def _made_up(vocabulary: int) -> tuple[list[Rollout], list[Query]]:
    generator = torch.Generator().manual_seed(0)

    def draw(many: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, vocabulary, (many,), generator=generator).tolist())

    queries = [Query(Row(number, str(number), (), ()), "", number, draw(PROMPT)) for number in range(ROWS)]
    return [Rollout(query, draw(NEW), (-9.0,) * NEW, "", True) for query in queries], queries


def _bytes(model: Any) -> int:
    return sum(value.numel() * value.element_size() for value in model.parameters())


def cases(sizes: list[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for size in sizes:
        for kind in KINDS:
            command = [sys.executable, "-m", "benchmarks.memory", "--one", size, kind]
            done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            if done.returncode:
                raise SystemExit(done.stderr[-3000:])
            line = next(line for line in done.stdout.splitlines() if line.startswith("BENCH"))
            found = json.loads(line.removeprefix("BENCH"))
            print(size, kind, found, flush=True)
            yield size, kind, found


def page(found: list[tuple[str, str, dict[str, Any]]], arguments: list[str]) -> str:
    def mega(pair: tuple[int, int]) -> str:
        return f"{pair[0] / 1e6:,.0f} / {pair[1] / 1e6:,.0f}"

    lines = [
        "# The memory plan beside what is held",
        "",
        f"    OMP_NUM_THREADS=1 python -m benchmarks.memory {' '.join(arguments)}".rstrip(),
        "",
        f"PPO with a value net on random Llama models, {ROWS} prompts of {PROMPT} tokens and {NEW} new ones, one epoch,",
        "micro-batches as `rlaif train` makes them by itself. MB planned / MB that torch's allocator handed out, by phase;",
        "`peak` is what is always held with the largest phase.",
        "",
        "| parameters | training | tokens a pass | always | sampling | looking | update | peak | planned / held |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for size, kind, each in found:
        phases = " | ".join(mega(each["phases"][name]) for name in ("always", "sampling", "looking", "update"))
        peak, ratio = mega((each["planned"], each["held"])), each["planned"] / each["held"]
        lines.append(f"| {size} | {kind} | {each['tokens']:,} | {phases} | {peak} | {ratio:.2f} |")
    lines += ["", f"Python {platform.python_version()}, torch {version('torch')}, transformers {version('transformers')}.", ""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/memory.md"))
    parser.add_argument("--one", nargs=2)
    options = parser.parse_args()
    if options.one:
        print("BENCH" + json.dumps(measure(*options.one)))
        return
    arguments = [] if options.sizes == ",".join(SIZES) else [f"--sizes {options.sizes}"]
    options.out.write_text(page(list(cases(options.sizes.split(","))), arguments))


if __name__ == "__main__":
    main()
