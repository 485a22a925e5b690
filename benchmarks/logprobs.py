"""What log-probabilities of responses cost over a vocabulary of 151,936, on one core: time by the rows of logits that are held
at once, and peak memory of a DPO step with them and with whole logits. Writes ``benchmarks/logprobs.md``; some two minutes.

    OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.logprobs
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import torch

from rlaif.models import logprobs, responses
from rlaif.models.config import CHUNK

PAGE = Path(__file__).with_suffix(".md")
VOCABULARY, HIDDEN, TOKENS = 151_936, 896, 110
ROWS = (13, 110)
PAIRS, LENGTH, PROMPT = 2, 512, 64
WAYS = ("start", "whole", "chunked")
HELD = CHUNK["cpu"] // VOCABULARY


def seconds(rows: int, dtype: torch.dtype) -> float:
    """CPU seconds of the forward and backward pass of ``TOKENS`` log-probabilities."""
    torch.manual_seed(0)
    hidden = torch.randn(TOKENS, HIDDEN, dtype=dtype, requires_grad=True)
    weight = (0.02 * torch.randn(VOCABULARY, HIDDEN)).to(dtype).requires_grad_()
    tokens = torch.randint(0, VOCABULARY, (TOKENS,))
    CHUNK["cpu"] = rows * VOCABULARY
    began = time.process_time()
    torch.autograd.backward(logprobs.chunked_logprobs(hidden, weight, tokens, entropy=False)[0].sum())
    return time.process_time() - began


def step(way: str) -> None:
    """A DPO step of a small model with a large vocabulary (in ``start``: none, only the model and its gradients), and its peak
    memory in MiB on standard output."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from rlaif.train.batches import collate
    from rlaif.train.items import Item, Tokens
    from rlaif.train.methods.dpo import Dpo

    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=64,
    )
    model = Qwen3ForCausalLM(config)
    if way == "start":
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
    else:
        if way == "whole":
            responses._CHANGED.add(model.lm_head)
        sides = torch.randint(0, VOCABULARY, (PAIRS, 2, LENGTH)).tolist()
        items = [Item((Tokens(one, PROMPT), Tokens(other, PROMPT)), 0.8, reference=(-9.0, -9.0)) for one, other in sides]
        torch.autograd.backward(Dpo().step(model, collate(items, 0)).total)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def peak(way: str) -> int:
    """MiB, of a process of its own."""
    done = subprocess.run([sys.executable, "-m", "benchmarks.logprobs", way], check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def main() -> None:
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    times = {name: [seconds(rows, dtype) for rows in ROWS] for name, dtype in kinds.items()}
    start, whole, chunked = map(peak, WAYS)
    lines = [
        "# Log-probabilities over a large vocabulary",
        "",
        "`OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.logprobs`, on one core.",
        "",
        f"CPU seconds of {TOKENS} tokens, forward and backward, by the rows of logits held at once (vocabulary {VOCABULARY},",
        f"{HIDDEN} hidden numbers). A CPU holds {HELD} of them.",
        "",
        f"| | {' | '.join(map(str, ROWS))} |",
        "|---" * (len(ROWS) + 1) + "|",
        *(f"| {name} | {' | '.join(f'{value:.2f}' for value in taken)} |" for name, taken in times.items()),
        "",
        f"Peak memory of one DPO step ({PAIRS} pairs of {LENGTH} tokens, of which {LENGTH - PROMPT} the response), over what a",
        f"process with model and gradients alone takes ({start} MiB):",
        "",
        "| | MiB |",
        "|---|---|",
        f"| whole logits | {whole - start} |",
        f"| as now | {chunked - start} |",
        f"| ratio | 1 / {(whole - start) / max(1, chunked - start):.1f} |",
    ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    step(sys.argv[1]) if len(sys.argv) > 1 else main()
