"""Prompt ids, three engines, and one order beside the other, on SmolLM2 and real pairs: ``benchmarks.real engines``."""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks.engines import compare
from benchmarks.real_parts import constitution, lead, points, rlaif, templates, verdicts, write
from rlaif.constitution.load import load_constitution
from rlaif.critic.judge import Judge
from rlaif.critic.templates import load_template
from rlaif.data.read import read_rows
from rlaif.data.rows import Row
from rlaif.engines.base import ANSWER, Prompt
from rlaif.engines.tokens import Encoded, PromptEncoder
from rlaif.evaluate.agreement import wilson
from rlaif.evaluate.table import interval
from tests.serving import vllm_server

SEEDS = 20
ALIKE = 50
"""Pairs that all three engines are asked about; one of them is asked about all."""


def engines(options: argparse.Namespace, every: list[dict[str, str]], principle: str) -> None:
    """every: pairs of ``chosen`` and ``rejected`` conversations, of which the first ``options.test`` are judged."""
    out: Path = options.out
    out.mkdir(parents=True, exist_ok=True)
    pairs = every[: options.test]
    rows, prompts = write(out / "rows.jsonl", pairs), templates(out / "prompts")
    principles = constitution(out / "harmless.yaml", principle)
    same, asked = prompt_ids(options.model, rows, principles, prompts)
    print(f"{same} of {asked} prompts have the ids of the model's own rendering\n")

    shared = ["--constitution", principles, "--prompts", prompts, "--min-mass", 0, "--max-failure-rate", 1]

    def label(name: str, *how: object) -> dict[str, Any]:
        rlaif("label", rows, *shared, *how, "--store", out / f"{name.partition(',')[0]}.sqlite", "--out", out / name)
        lines = (out / name / "preferences.jsonl").read_text(encoding="utf-8").splitlines()
        return {"records": {record["id"]: record for record in map(json.loads, lines)}}

    model, few = ["--critic", options.model, "--critic-context", 2048], ["--limit", ALIKE]
    found = {"transformers": label("transformers", *model, *few, "--engine", "transformers")}
    found["vllm in this process"] = label("vllm, few", *model, *few, "--engine", "vllm")
    with vllm_server(options.model, out / "server.log", "--max-model-len", "2048") as url:
        found["vllm server"] = label("server", "--critic", url, "--tokenizer", options.model, *few)
    print("\n| engine | largest difference in p from transformers | verdicts on the other side |\n|---|---|---|")
    for name, records in found.items():
        apart = compare(found["transformers"], records)
        print(f"| {name} | {apart['apart']:.6f} | {apart['flips']} of {apart['verdicts']} |")

    runs: Mapping[str, list[float]] = {}
    print("\n| orders | agreement |\n|---|---|")
    for orders in ("both", "ab", "ba"):
        label(f"vllm, {orders}", *model, "--engine", "vllm", "--orders", orders)
        right = verdicts(out / f"vllm, {orders}", len(pairs))
        runs = {**runs, orders: right}
        print(f"| {orders} | {interval(wilson(sum(right), len(pairs)))} |")
    numbers = [str(number) for number in range(len(pairs))]
    print(f"\nab leads ba by {points(lead(runs['ab'], runs['ba'], numbers))} points")
    drawn = shown_first(write(out / "every.jsonl", every), principles, prompts)
    print(f"ab shows the better response first in {min(drawn):.3f} to {max(drawn):.3f} of {len(every)} pairs, by seed")
    print(f"{statistics.fmean(drawn):.3f} over {len(drawn)} seeds")


def shown_first(rows: Path, principles: Path, prompts: Path) -> list[float]:
    """By seed, the share of rows whose first response, ``chosen``, stands first where one order is asked."""
    read = [row for row in read_rows(str(rows)) if isinstance(row, Row)]
    loaded, template = load_constitution(principles), load_template("compare", prompts)
    judges = [Judge(loaded, template, "", orders="ab", seed=seed) for seed in range(SEEDS)]
    asked = [[judge.ask(row, (0, 1))[0].questions[0].responses[0] for row in read] for judge in judges]
    return [statistics.fmean(first == row.responses[0].turns for first, row in zip(each, read, strict=True)) for each in asked]


def prompt_ids(model: str, rows: Path, principles: Path, prompts: Path) -> tuple[int, int]:
    """(questions whose ids are those of the model's own rendering of the whole as one text, questions)."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    encoder, judge = PromptEncoder(tokenizer), Judge(load_constitution(principles), load_template("compare", prompts), "")
    same = asked = 0
    for row in read_rows(str(rows)):
        assert isinstance(row, Row)
        for question in (question for each in judge.ask(row, (0, 1)) for question in each.questions):
            prompt = judge.prompt(question)
            encoded = encoder.encode(prompt)
            asked += 1
            same += isinstance(encoded, Encoded) and encoded.ids == tokenizer(whole(tokenizer, prompt)).input_ids
    return same, asked


def whole(tokenizer: Any, prompt: Prompt) -> str:
    """The model's own rendering, with the beginning of the answer after it."""
    turns = [{"role": message.role, "content": message.text} for message in prompt if message.role != ANSWER]
    begun = "".join(message.text for message in prompt if message.role == ANSWER)
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)) + begun
