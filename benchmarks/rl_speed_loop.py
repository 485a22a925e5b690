"""Our side of benchmarks/rl_speed.py: the loop on a random model; one JSON object on standard output.

python -m benchmarks.rl_speed_loop --vocab 512 --iterations 6 [--lora 8]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM, Qwen3ForSequenceClassification

from rlaif.data.rows import Row
from rlaif.models.load import find_base
from rlaif.rl.batch import collate
from rlaif.rl.loop import Loop
from rlaif.rl.maths.kl import FixedKL
from rlaif.rl.methods.ppo import Ppo
from rlaif.rl.monitor.monitor import Monitor
from rlaif.rl.networks import build
from rlaif.rl.parts import Parts
from rlaif.rl.prompts import Prompts
from rlaif.rl.rollout import Query, Rewards, Rollout
from rlaif.rl.samplers.transformers import TransformersSampler
from rlaif.rl.update import Learner

PROMPTS, PROMPT, NEW, EPOCHS = 64, 32, 32, 4


def architecture(vocabulary: int) -> Qwen3Config:
    """The model of the peer's driver: 0.85 M parameters with a vocabulary of 512."""
    return Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        eos_token_id=1,
        pad_token_id=0,
        bos_token_id=None,
    )


def save_model(folder: Path, vocabulary: int) -> None:
    words = {f"w{number}": number for number in range(vocabulary)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, "w2")), pad_token="w0", eos_token="w1")
    tokenizer.chat_template = "{{ messages[0].content }}"
    torch.manual_seed(0)
    Qwen3ForCausalLM(architecture(vocabulary)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class Scorer:
    """A reward model of the policy's size, read at the last token."""

    def __init__(self, vocabulary: int) -> None:
        torch.manual_seed(2)
        config = architecture(vocabulary)
        config.num_labels = 1
        self._model = Qwen3ForSequenceClassification(config).eval()

    async def __call__(self, rollouts: Sequence[Rollout]) -> Rewards:
        batch = collate(rollouts, 0)
        with torch.inference_mode():
            scores = self._model.score(self._model.model(input_ids=batch.ids, use_cache=False).last_hidden_state)
        values = scores[torch.arange(len(rollouts)), batch.lengths - 1, 0].clone()
        return Rewards(values, torch.ones(len(rollouts), dtype=torch.bool), {}, {})


class Clock:
    """A ``loop.Log`` that keeps the time."""

    def __init__(self) -> None:
        self.cpu: list[float] = []
        self.figures: list[dict[str, float]] = []
        self._before = time.process_time()

    def metrics(self, step: int, figures: Mapping[str, float]) -> None:
        now = time.process_time()
        self.cpu.append(now - self._before)
        self.figures.append(dict(figures))
        self._before = now

    def samples(self, *_: Any) -> None: ...
    def warn(self, step: int, text: str) -> None: ...
    def policy(self, *_: Any) -> None: ...
    def save(self, *_: Any) -> None: ...
    def saves(self, step: int) -> bool:
        return False


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--vocab", type=int, default=512)
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--lora", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    imports = peak()
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), options.vocab)
        config = Ppo(
            source="",
            model=folder,
            out=Path(folder),
            steps=options.iterations,
            batch_size=PROMPTS,
            samples=1,
            max_tokens=NEW,
            epochs=EPOCHS,
            learning_rate=1e-4,
            value_rate=1e-4,
            value_warmup=0,
            whiten_rewards=False,
            max_grad_norm=0.0,
            lora=options.lora,
            micro_tokens=1024,
        )
        base = find_base(folder, "causal", None, "float32", False)
        networks = build(config, base)
    drawn = torch.randint(3, options.vocab, (PROMPTS, PROMPT), generator=torch.Generator().manual_seed(0)).tolist()
    queries = [Query(Row(number, str(number), (), ()), "", 0, tuple(ids)) for number, ids in enumerate(drawn)]
    clock = Clock()
    parts = Parts(
        networks,
        TransformersSampler(networks.policy, base.tokenizer, [], NEW, 32_768, False),
        Scorer(options.vocab),
        None,
        Prompts(queries, {}, 0),
        (),
        Learner(config, networks),
        Monitor(),
        FixedKL(config.beta),
        base.pad,
    )
    asyncio.run(Loop(config, parts, clock).run())
    timed = clock.cpu[2:]  # the first is of the start, the second of warming up
    found = {
        "cpu_s_per_iter": statistics.fmean(timed),
        "cpu_s_per_iter_min": min(timed),
        "measured_iters": len(timed),
        "peak_mb": peak(),
        "imports_mb": imports,
        "parameters": sum(value.numel() for value in networks.policy.model.parameters()),
        "figures": clock.figures[-1],
    }
    print("BENCH", json.dumps(found))


def peak() -> int:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
