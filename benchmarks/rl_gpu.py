"""The loop on a GPU: tokens per second, memory, and which phase the time goes to; benchmarks/rl.md shows the table.

    python -m benchmarks.rl_gpu [--layers 24] [--hidden 896] [--vocabulary 151936] [--steps 6]

Two runs in bfloat16: the lab's RLOO run of benchmarks/rl.py, and PPO on a randomly initialised Qwen3 (by default of half a
billion parameters) whose responses are as long as they may be, so that only the machine is measured. Both are rewarded by the
lab's critic. Without a GPU it measures the CPU, to try it out: give it few and narrow layers and a small vocabulary there.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
from transformers.utils.logging import set_verbosity_error

from benchmarks.lab_grid import CONSTITUTION, prompts
from benchmarks.lab_labels import write_records
from benchmarks.rl import COMMON, GPU, RUNS
from benchmarks.rl_page import PHASES, gpu_table
from rlaif.data.write import atomic_write
from rlaif.engines.open import model_path
from rlaif.lab.policy import MAX_TOKENS
from rlaif.rl.config import RlConfig
from rlaif.rl.methods import find_method
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.run import run_rl
from rlaif.settings import configure

PROMPTS, NEW = 512, 128
RANDOM: Mapping[str, Any] = {"batch_size": 64, "samples": 2, "epochs": 2, "max_tokens": NEW, "learning_rate": 1e-6}
WARM = 2
"""Iterations at the beginning that are not counted."""


def save_random(folder: Path, layers: int, hidden: int, vocabulary: int) -> int:
    """A Qwen3 that hardly ever ends a response by itself, with the lab's tokenizer; returns how many parameters it has.

    Widths are in the proportions of Qwen2.5-0.5B.
    """
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=hidden * 38 // 7,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=max(1, hidden // 448),
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=vocabulary - 1,  # one of that many, so hardly ever drawn
        dtype="bfloat16",
    )
    model = Qwen3ForCausalLM(config)
    torch.nn.Module.to(model, torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(model_path("lab:policy"))
    tokenizer.save_pretrained(folder)
    return int(model.num_parameters())


def measure(config: RlConfig) -> dict[str, Any]:
    """Medians over the iterations of one run. tokens: of responses. mb: the most that was held at once."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    run_rl(config)
    lines = [json.loads(line) for line in (config.out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    timed = [line for line in lines if line["step"] > WARM and "seconds" in line]
    phases = {name: statistics.median(line[f"seconds_{name}"] / line["seconds"] for line in timed) for name in PHASES}
    responses = config.batch_size * config.samples
    speed = statistics.median(line["length"] * responses / line["seconds"] for line in timed)
    sampled = statistics.median(line["length"] * responses / line["seconds_sampling"] for line in timed)
    seconds = statistics.median(line["seconds"] for line in timed)
    shutil.rmtree(config.out)
    return {"seconds": seconds, "tokens_per_second": speed, "sampled_per_second": sampled, "mb": _peak(), "phases": phases}


def _peak() -> float:
    """MiB: of the GPU's memory, or where there is none, of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(shape: Sequence[int], steps: int, folder: Path) -> None:
    set_verbosity_error()
    rewards = configure(RewardConfig, critic="lab", constitution=CONSTITUTION)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        write_records(here / "prompts.jsonl", ({"prompt": text} for text in prompts("train", PROMPTS, 0)))
        common = {"source": str(here / "prompts.jsonl"), "out": here / "run", "precision": "bfloat16"}
        lab = RUNS["rloo"]
        runs = {
            "lab, rloo": {**common, "model": "lab:policy", "max_tokens": MAX_TOKENS, **COMMON, **lab.settings, "steps": steps},
            "random, ppo": {**common, "model": str(here / "random"), **RANDOM, "eval_prompts": 16, "steps": steps},
        }
        policy = Qwen3ForCausalLM.from_pretrained(model_path("lab:policy"))
        parameters = {"lab, rloo": policy.num_parameters(), "random, ppo": save_random(here / "random", *shape)}
        rows = {}
        for row, given in runs.items():
            config = replace(configure(find_method("rloo" if row.startswith("lab") else "ppo"), **given), rewards=rewards)
            responses = f"{config.batch_size} × {config.samples} of {config.max_tokens}"
            rows[row] = {**measure(config), "parameters": parameters[row], "responses": responses}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "a CPU"
    found = {"device": device, "versions": f"torch {torch.__version__}", "rows": rows}
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / GPU) as file:
        json.dump(found, file, indent=1)
    print(gpu_table(found))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--hidden", type=int, default=896)
    parser.add_argument("--vocabulary", type=int, default=151_936)
    parser.add_argument(
        "--steps", type=int, default=6, help=f"iterations of each run, the first {WARM} of which are not counted"
    )
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-rl"))
    arguments = parser.parse_args()
    main((arguments.layers, arguments.hidden, arguments.vocabulary), arguments.steps, arguments.folder)
