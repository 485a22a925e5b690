"""The loop on a GPU, a stage at a time: seconds by phase, memory by phase beside its plan, and what a sync leaves.

    python -m benchmarks.rl_gpu --stage lab|0.6b|1.7b|8b-lora [--small] [--sampler vllm] [--steps 5]

``lab`` is RLOO on the lab's policy; the others have the shapes of Qwen3-0.6B, 1.7B and 8B with random weights, made here:
nothing is fetched. 0.6b and 1.7b are PPO on all weights, judged by the lab's critic; 8b-lora is RLOO with an adapter, judged by
a critic of 8B. Each stage is to take less than 8 minutes on an H100, leaves its figures in --folder, and writes the page of all
stages that have left any. --small gives the same stages narrow shapes, to try them out on a CPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM
from transformers.utils.logging import set_verbosity_error

from benchmarks.lab_grid import CONSTITUTION, prompts
from benchmarks.lab_labels import write_records
from benchmarks.rl_gpu_page import page
from benchmarks.rl_gpu_watch import Watch
from rlaif.data.write import atomic_write
from rlaif.engines.open import model_path
from rlaif.lab.policy import MAX_TOKENS
from rlaif.models.load import find_base
from rlaif.rl.fit import fit, setting_of
from rlaif.rl.memory import Shape, plan
from rlaif.rl.methods import find_method
from rlaif.rl.prompts import read_queries
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.run import run_rl
from rlaif.settings import configure

PROMPTS, NEW = 512, 128


class Stage(NamedTuple):
    """shape: of the policy; None is the lab's. critic: what judges; None is a random model of the policy's shape. settings: of
    the method."""

    method: str
    shape: Shape | None
    critic: str | None
    settings: Mapping[str, Any]


_FULL: Mapping[str, Any] = {"batch_size": 128, "samples": 1, "epochs": 2, "minibatches": 2, "value_warmup": 0}
_LORA: Mapping[str, Any] = {"batch_size": 32, "samples": 4, "lora": 16, "sampler_adapter": True, "sampler_memory": 0.3}
STAGES: Mapping[str, Stage] = {
    "lab": Stage("rloo", None, "lab", {"batch_size": 32, "samples": 4, "learning_rate": 1e-3, "sampler_memory": 0.1}),
    "0.6b": Stage("ppo", Shape(28, 1024, 3072, 16, 8, 128, 151_936, True, True), "lab", {**_FULL, "sampler_memory": 0.2}),
    "1.7b": Stage("ppo", Shape(28, 2048, 6144, 16, 8, 128, 151_936, True, True), "lab", {**_FULL, "sampler_memory": 0.2}),
    "8b-lora": Stage("rloo", Shape(36, 4096, 12_288, 32, 8, 128, 151_936, False, True), None, _LORA),
}


def small(shape: Shape) -> Shape:
    """Two narrow layers of the same kind."""
    return shape._replace(layers=2, hidden=128, inner=384, heads=4, kv_heads=2, head=64, vocabulary=4096)


def save_random(folder: Path, shape: Shape, tied: bool) -> None:
    """A Qwen3 of random bfloat16 weights, with the lab's tokenizer, that hardly ever ends a response by itself."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head,
        max_position_embeddings=2048,
        tie_word_embeddings=tied,
        eos_token_id=shape.vocabulary - 1,  # one of that many, so hardly ever drawn
        dtype="bfloat16",
    )
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        torch.set_default_dtype(torch.bfloat16)
        model = Qwen3ForCausalLM(config)
        torch.set_default_dtype(torch.float32)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path("lab:policy")).save_pretrained(folder)


def measure(stage: Stage, sampler: str, steps: int, here: Path) -> dict[str, Any]:
    """One run of the stage, watched."""
    model = "lab:policy"
    if stage.shape:
        model = str(here / "random")
        save_random(here / "random", stage.shape, stage.shape.tied)
    write_records(here / "prompts.jsonl", ({"prompt": text} for text in prompts("train", PROMPTS, 0)))
    # A random critic names no label.
    judge = {"critic": [stage.critic or model], "min_mass": 0.0, "store": here / "verdicts.sqlite"}
    own = {name: value for name, value in stage.settings.items() if name != "sampler_adapter" or sampler == "vllm"}
    given = {"max_tokens": NEW if stage.shape else MAX_TOKENS, "precision": "bfloat16", "eval_prompts": 16, **own}
    given |= {"source": str(here / "prompts.jsonl"), "out": here / "run", "model": model, "steps": steps, "sampler": sampler}
    config = replace(
        configure(find_method(stage.method), **given),
        rewards=configure(RewardConfig, constitution=CONSTITUTION, **judge, gpu_memory=0.3 if stage.critic is None else 0.05),
    )
    base = find_base(model, "causal", None, config.precision, False)
    queries, _ = read_queries(config.source, None, base.tokenizer, base.context - config.max_tokens, {})
    setting = setting_of(config, base, queries)
    fitted = fit(config, setting)
    planned = plan(fitted, setting)
    with Watch() as watch:
        run_rl(config)
    lines = [json.loads(line) for line in (config.out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "method": stage.method,
        "parameters": setting.policy.parameters,
        "responses": f"{config.batch_size} × {config.samples} of {config.max_tokens}",
        "drawn": config.batch_size * config.samples,
        "sampler": sampler,
        "tokens": fitted.micro_tokens,
        "planned": {"always": sum(planned.always.values()), **{name: sum(it.values()) for name, it in planned.phases.items()}},
        "steps": [line for line in lines if "seconds" in line],
        "watched": watch.found(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=STAGES, required=True)
    parser.add_argument("--small", action="store_true", help="narrow shapes, to try it out")
    parser.add_argument("--sampler", default="vllm" if torch.cuda.is_available() else "transformers")
    parser.add_argument("--steps", type=int, default=5, help="the first two are not counted")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-rl-gpu"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/rl_gpu.md"))
    options = parser.parse_args()
    set_verbosity_error()
    stage = STAGES[options.stage]
    if options.small and stage.shape:
        few = {**stage.settings, "batch_size": 8, "max_tokens": 16}
        stage = stage._replace(shape=small(stage.shape), settings=few)
    with tempfile.TemporaryDirectory() as here:
        found = measure(stage, options.sampler, options.steps, Path(here))
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"a CPU ({platform.machine()})"
    found |= {"device": device, "small": options.small, "versions": f"torch {version('torch')}"}
    options.folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(options.folder / f"{options.stage}.json") as file:
        json.dump(found, file, indent=1)
    left = [(name, options.folder / f"{name}.json") for name in STAGES]
    options.out.write_text(page({name: json.loads(path.read_text()) for name, path in left if path.is_file()}))


if __name__ == "__main__":
    main()
