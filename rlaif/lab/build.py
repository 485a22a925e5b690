"""``rlaif lab build``: trains the policy, both critics and the reviser and saves them as plain Hugging Face folders."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedTokenizerBase, Qwen3ForCausalLM

from rlaif.critic.templates import load_template
from rlaif.data.rows import Turn
from rlaif.engines.base import Message, Segment
from rlaif.engines.tokens import Encoded, PromptEncoder
from rlaif.errors import UsageError
from rlaif.lab import tokenizer as lab_tokenizer
from rlaif.lab import wordings
from rlaif.lab.gold import PRINCIPLES
from rlaif.lab.judging import Fallibility, Judgements
from rlaif.lab.revising import revise
from rlaif.lab.training import Text, new_model, train_critic, train_writer
from rlaif.lab.world import draw_questions, reply
from rlaif.progress import Progress

Name = Literal["policy", "critic", "fallible", "reviser"]
NAMES: tuple[Name, ...] = ("policy", "critic", "fallible", "reviser")


@dataclass(frozen=True, slots=True)
class Size:
    """How much a model is trained (samples) and how large it is."""

    samples: int
    width: int
    layers: int
    heads: int


SIZES: dict[Name, Size] = {
    "policy": Size(samples=36_000, width=96, layers=3, heads=2),
    "critic": Size(samples=13_000, width=128, layers=4, heads=4),
    "fallible": Size(samples=1_500, width=128, layers=4, heads=4),
    "reviser": Size(samples=36_000, width=96, layers=3, heads=2),
}
ORIGINS: dict[Name, Name] = {"fallible": "critic", "reviser": "policy"}
"""Models that are trained on from another one's weights. (From the critic's, which has never written a reply, a reviser learns
several times as slowly.)"""
FALLIBLE_RATE = 0.15
"""Learning rate of the fallible critic's fine-tune, as a share of the full one."""


def build_models(
    out: Path, names: Sequence[Name], seed: int, threads: int, progress: Progress, sizes: Mapping[Name, Size] = SIZES
) -> None:
    """Train ``names`` in order into ``out/NAME`` and write ``out/build.json``.

    The fallible critic is the good one, fine-tuned shortly on biased labels, and the reviser is the policy, taught to criticise
    and revise: so ``out/critic`` and ``out/policy`` must exist for them.
    """
    torch.set_num_threads(threads)
    tokenizer = lab_tokenizer.train(lab_tokenizer.corpus())
    for name in names:
        began, steps, done = time.monotonic(), 0, 0

        def tick(samples: int, loss: float) -> None:
            nonlocal steps, done
            steps, done = steps + 1, done + samples
            progress.update(done, {"loss": loss})

        size = sizes[name]
        progress.stage(name, size.samples, 0)
        if name in ORIGINS:
            model = _load(out / ORIGINS[name], name)
            torch.manual_seed(seed)
        else:
            model = new_model(tokenizer, size.width, size.layers, size.heads, seed)
        if name == "policy":
            train_writer(model, chats(tokenizer, size.samples, seed), size.samples, tick)
        elif name == "reviser":
            train_writer(model, critiques(tokenizer, size.samples, seed), size.samples, tick)
        else:
            judgements = Judgements(tokenizer)
            errors, rate = (Fallibility(), FALLIBLE_RATE) if name == "fallible" else (None, 1.0)
            samples = judgements.samples(size.samples, seed + (errors is not None), errors)
            train_critic(model, samples, size.samples, judgements.labels, tick, rate)
        save(model, tokenizer, out / name)
        entry = {
            "seconds": round(time.monotonic() - began, 1),
            "threads": threads,
            "seed": seed,
            "samples": size.samples,
            "steps": steps,
            "parameters": sum(p.numel() for p in model.parameters()),
            "torch": torch.__version__,
        }
        _note(out / "build.json", name, entry)


def chats(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> Iterator[Text]:
    """``n`` training chats of the policy: a prompt as an engine would encode it, a reply from the grammar, end of turn."""
    encoder, rng = PromptEncoder(tokenizer), random.Random(f"policy {seed}")
    for question, _ in zip(draw_questions(seed, "train"), range(n), strict=False):
        prompt = encoder.encode((Message("user", (Segment(question.text, False),)),))
        assert isinstance(prompt, Encoded)
        answer = tokenizer.encode(reply(question, rng) + lab_tokenizer.END, add_special_tokens=False)
        ids = [*prompt.ids, *answer]
        yield Text(ids, ((len(prompt.ids), len(ids)),))


def critiques(tokenizer: PreTrainedTokenizerBase, n: int, seed: int) -> Iterator[Text]:
    """``n`` training chats of the reviser: the revise template's requests, answered by the grammar's critique and revision."""
    encoder, rng, template = PromptEncoder(tokenizer), random.Random(f"reviser {seed}"), load_template("revise")
    for question, _ in zip(draw_questions(seed + 1, "train"), range(n), strict=False):
        said, principle = reply(question, rng), rng.choice(PRINCIPLES)
        critique, revision = revise(question, said, principle, rng)
        wording = template.wording(rng.choice(wordings.texts(principle, "train")), None)
        turns = [Turn(role="user", content=question.text)], [[Turn(role="assistant", content=said)]]
        asked = encoder.encode(template.render(wording, *turns, rationale=critique, request=wording))
        assert isinstance(asked, Encoded)
        start, end = asked.untrusted[-1]
        answer = tokenizer.encode(revision + lab_tokenizer.END, add_special_tokens=False)
        ids = [*asked.ids, *answer]
        yield Text(ids, ((start, end + 1), (len(asked.ids), len(ids))))


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Weights in bfloat16 to stay small; the configuration says float32, so that they are loaded as that where it is free."""
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.bfloat16().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "dtype": "float32"}, indent=2) + "\n")


def _load(folder: Path, name: str) -> Qwen3ForCausalLM:
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder}: the lab's {name} model is made from this one; build that first")
    return Qwen3ForCausalLM.from_pretrained(folder, dtype=torch.float32)


def _note(path: Path, name: str, entry: dict[str, Any]) -> None:
    notes = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**notes, name: entry}, indent=2) + "\n")
