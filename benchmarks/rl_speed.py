"""The same PPO work through our loop and through the last trl that had PPO: CPU time, memory, and are the losses the same?

    python -m benchmarks.rl_speed --trl-driver trl_ppo_benchmark.py [--repeats 3] [--out benchmarks/rl_speed.md]

trl 1.12.0 is installed into an environment of its own (--environment, kept for the next time); it is no dependency. The
driver runs its trainer on a random Qwen3 and prints one JSON object. Both sides alternate, each run in a process of its own
with one thread; CPU seconds are compared, which other load disturbs least.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen3ForCausalLM, Qwen3Model

from benchmarks.rl_speed_loop import EPOCHS, NEW, PROMPT, PROMPTS, architecture
from rlaif.rl.batch import Batch
from rlaif.rl.maths import advantages as adv
from rlaif.rl.maths import kl, losses, shaping
from rlaif.rl.networks import Policy, ValueNet

PEER = "trl==1.12.0"
WORK = {
    "0.85 M parameters, vocabulary 512": (512, 0),
    "the same with a vocabulary of 32,000": (32_000, 0),
    "vocabulary 512, LoRA of rank 8": (512, 8),
}
RECORDED, SEED = 32_000, "1"
"""Vocabulary and seed of the run whose losses are compared. The peer takes a sampled padding token for the end of a response;
here none is sampled, so that both sides count the same tokens."""
QUIET = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}


def peer_environment(folder: Path) -> Path:
    """The Python of an environment with the peer in it, and otherwise the versions that are installed here."""
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        lines = Path("constraints.txt").read_text().splitlines()
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join(line for line in lines if not line.startswith("trl==")))
        install = [str(python), "-m", "pip", "install", "-q", "-c", str(constraints)]
        subprocess.run([*install, "torch"], check=True)
        subprocess.run([*install, PEER, "peft"], check=True)
        (folder / "complete").touch()
    return python


def run_peer(
    python: Path, driver: Path, vocabulary: int, lora: int, iterations: int, folder: Path, record: bool
) -> dict[str, Any]:
    out = folder / "peer.json"
    options = ["--vocab", str(vocabulary), "--iters", str(iterations), "--json", str(out), *(["--lora"] if lora else [])]
    options += ["--seed", SEED] if record else []
    recorder = [str(Path(__file__).with_name("rl_speed_record.py")), str(folder / "record.pt")] if record else []
    run([str(python), *recorder, str(driver), *options])
    found: dict[str, Any] = json.loads(out.read_text())
    collecting = found["breakdown_s"]["gc_collect"] / found["breakdown_s"]["total"]
    return {
        "cpu": found["cpu_s_per_iter"],
        "cpu_without_gc": found["cpu_s_per_iter"] * (1 - collecting),
        "mb": found["peak_rss_mb"],
    }


def run_ours(vocabulary: int, lora: int, iterations: int) -> dict[str, Any]:
    options = ["--vocab", str(vocabulary), "--iterations", str(iterations), "--lora", str(lora)]
    lines = run([sys.executable, "-m", "benchmarks.rl_speed_loop", *options]).splitlines()
    found = json.loads(next(line for line in lines if line.startswith("BENCH")).removeprefix("BENCH"))
    return {"cpu": found["cpu_s_per_iter"], "mb": found["peak_mb"], "imports": found["imports_mb"]}


def run(command: list[str]) -> str:
    done = subprocess.run(command, env={**os.environ, **QUIET}, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def differences(record: Path, vocabulary: int) -> dict[str, float]:
    """How far our figures are from the peer's, at most, on the peer's own rollouts of its first iteration.

    Log-probabilities and values come from our networks with the peer's weights; advantages and losses from our functions.
    """
    peer = torch.load(record, weights_only=True)
    assert (peer["query_responses"] != 0).all(), "a padding token was sampled; the masks would differ"
    batch = batch_of(peer["query_responses"], peer["context_length"])
    mask, args = batch.mask, peer["args"]
    policy, value = networks(peer, vocabulary)
    with torch.no_grad():
        logp, values = policy.logprobs(batch, 1.0)[0], value.values(batch)
    rewards = shaping.token_rewards(peer["scores"], kl.k1(peer["logprobs"], peer["ref_logprobs"], mask), mask, args["kl_coef"])
    advantages, returns = adv.gae(rewards, peer["values"], mask, args["gamma"], args["lam"])
    tokens = mask.sum()
    # The peer whitens by the sample's variance (n − 1), the original code and ours by the population's (n).
    advantages = adv.whiten(advantages, mask) * ((tokens - 1) / tokens).sqrt()
    found = {
        "log-probabilities": apart(logp, peer["logprobs"]),
        "values": apart(values, peer["values"]),
        "advantages": apart(advantages, peer["advantages"]),
        "returns": apart(returns, peer["returns"]),
        "policy loss": 0.0,
        "value loss": 0.0,
    }
    for epoch in peer["epochs"]:
        rows = epoch["rows"]
        clip = (args["cliprange"], args["cliprange"])
        ours = losses.policy_loss(epoch["new_logprobs"], peer["logprobs"][rows], advantages[rows], mask[rows], clip).mean()
        found["policy loss"] = max(found["policy loss"], apart(ours, epoch["pg_loss"]))
        ours = losses.value_loss(epoch["vpred"], values[rows], returns[rows], mask[rows], args["cliprange_value"]).mean()
        found["value loss"] = max(found["value loss"], apart(ours, epoch["vf_loss"]))
    assert len(peer["epochs"]) == EPOCHS
    return found


def batch_of(ids: Tensor, start: int) -> Batch:
    """Responses of one length, none of which ends."""
    rows, total = ids.shape
    tokens = ids[:, start:]
    before = torch.arange(start - 1, total - 1).expand(rows, -1)
    mask = torch.ones_like(tokens, dtype=torch.bool)
    ended = torch.zeros(rows, dtype=torch.bool)
    return Batch(ids, before, tokens, mask, torch.zeros(tokens.shape), ended, torch.arange(rows))


def networks(peer: dict[str, Any], vocabulary: int) -> tuple[Policy, ValueNet]:
    causal = Qwen3ForCausalLM(architecture(vocabulary))
    causal.load_state_dict(peer["policy"])
    body = Qwen3Model(architecture(vocabulary))
    body.load_state_dict(
        {name.removeprefix("model."): value for name, value in peer["value_model"].items() if "score" not in name}
    )
    head = torch.nn.Linear(body.config.hidden_size, 1, bias=False)
    head.load_state_dict({"weight": peer["value_model"]["score.weight"]})
    return Policy(causal, None, False), ValueNet(body, body, None, False, head)


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def table(results: dict[str, dict[str, list[dict[str, Any]]]], agreement: dict[str, float], arguments: list[str]) -> str:
    def median(runs: list[dict[str, Any]], name: str) -> float:
        return float(statistics.median(each[name] for each in runs))

    lines = [
        "# PPO: CPU time and memory beside trl's",
        "",
        f"    python -m benchmarks.rl_speed {' '.join(arguments)}",
        "",
        f"A random Qwen3, {PROMPTS} prompts of {PROMPT} tokens and {NEW} new ones each, {EPOCHS} epochs of one minibatch,",
        "float32, one thread; policy, reference, value net and reward model of the same size. CPU seconds per iteration and",
        "the process's peak memory, medians over runs that took turns.",
        "",
        "| work | trl 1.12.0 | without its gc.collect | rlaif | of trl's | trl 1.12.0 | rlaif | of trl's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, sides in results.items():
        theirs, without, ours = (
            median(sides["peer"], "cpu"),
            median(sides["peer"], "cpu_without_gc"),
            median(sides["ours"], "cpu"),
        )
        memory, our_memory = median(sides["peer"], "mb"), median(sides["ours"], "mb")
        lines.append(
            f"| {name} | {theirs:.2f} s | {without:.2f} s | {ours:.2f} s | {ours / theirs:.2f} | "
            f"{memory:.0f} MB | {our_memory:.0f} MB | {our_memory / memory:.2f} |"
        )
    imports = median(next(iter(results.values()))["ours"], "imports")
    lines += [
        "",
        f"Importing the libraries alone takes {imports:.0f} MB. rlaif makes passes of at most 1,024 tokens (`--micro-tokens`),",
        "which changes memory alone; under LoRA its value net is a second adapter of the policy's base, where trl trains a",
        "second model.",
        "",
        "On the peer's own rollouts and weights of its first iteration, ours differ from its figures by at most:",
        "",
        "| " + " | ".join(agreement) + " |",
        "|" + "---|" * len(agreement),
        "| " + " | ".join(f"{value:.1e}" for value in agreement.values()) + " |",
        "",
        f"Python {platform.python_version()}, torch {version('torch')}, transformers {version('transformers')}, "
        f"{platform.machine()}, {os.cpu_count()} cores.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-driver", type=Path, required=True)
    parser.add_argument("--environment", type=Path, default=Path("runs/trl-1.12.0"))
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/rl_speed.md"))
    options = parser.parse_args()
    python = peer_environment(options.environment)
    results: dict[str, dict[str, list[dict[str, Any]]]] = {name: {"peer": [], "ours": []} for name in WORK}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        run_peer(python, options.trl_driver, RECORDED, 0, 1, folder, record=True)
        agreement = differences(folder / "record.pt", RECORDED)
        print(agreement, flush=True)
        for repeat in range(options.repeats):
            for name, (vocabulary, lora) in WORK.items():
                peer = run_peer(python, options.trl_driver, vocabulary, lora, options.iterations, folder, record=False)
                results[name]["peer"].append(peer)
                results[name]["ours"].append(run_ours(vocabulary, lora, options.iterations))
                print(repeat, name, peer, results[name]["ours"][-1], flush=True)
    arguments = [
        f"--trl-driver {options.trl_driver.name}",
        f"--iterations {options.iterations}",
        f"--repeats {options.repeats}",
    ]
    options.out.write_text(table(results, agreement, arguments))


if __name__ == "__main__":
    main()
