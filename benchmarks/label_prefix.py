"""How much of what a labelling run asks its vLLM server has to compute, and how much it has to at least.

    python -m benchmarks.label_prefix [--pairs 8] [--out benchmarks/label_prefix.md]

Pairs of paragraphs of this project's docs, K of the shipped constitutions' principles, both orders, the lab critic (what it
says does not matter here). Where the principle is last, the template is the shipped one; where it is first, it stands before
the texts. At least: the tokens outside all blocks of 32 that an earlier prompt began with, had the cache no end. Needs vLLM.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import httpx
from transformers import AutoTokenizer

from rlaif.constitution import Constitution
from rlaif.constitution.types import Principle
from rlaif.critic.config import CriticConfig
from rlaif.critic.judge import Judge, in_cache_order
from rlaif.critic.templates import load_template
from rlaif.data.read import read_rows
from rlaif.data.rows import Row
from rlaif.engines.open import lab_model
from rlaif.engines.tokens import Encoded, PromptEncoder
from rlaif.label.config import LabelConfig
from rlaif.label.run import label
from tests.serving import vllm_server

PRINCIPLES = (1, 4, 7, 16)
BLOCK = 32
"""Tokens in a block of the server's cache (``tests.serving``)."""
COUNTERS = ("vllm:prefix_cache_queries_total", "vllm:prefix_cache_hits_total")


def paragraphs() -> list[str]:
    """Of the docs, those that are neither short nor long."""
    pieces = [piece for page in sorted(Path("docs").glob("*.md")) for piece in page.read_text().split("\n\n")]
    return [piece for piece in pieces if 200 <= len(piece) <= 700 and not piece.startswith(("|", "```", "#"))]


def principles() -> list[Principle]:
    """All of the shipped constitutions', each text once."""
    every = [one for path in sorted(Path("constitutions").glob("*.yaml")) for one in Constitution.load(path).principles]
    return [*{one.text: one for one in every}.values()]


def write_inputs(folder: Path, pairs: int) -> None:
    texts = paragraphs()
    assert len(texts) >= 2 * pairs, f"the docs hold {len(texts) // 2} pairs of paragraphs"
    for k in PRINCIPLES:
        prompt = f"Page {k}: explain a part of this project."  # no run begins as another does
        rows = [{"prompt": prompt, "responses": texts[at : at + 2]} for at in range(0, 2 * pairs, 2)]
        (folder / f"{k}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        chosen = [{"id": f"{one.id}-{n}", "text": one.text} for n, one in enumerate(principles()[:k])]
        assert len(chosen) == k
        (folder / f"{k}.yaml").write_text(json.dumps({"name": f"first {k}", "version": 1, "principles": chosen}))
    shipped = Path("prompts/compare.yaml").read_text()
    moved = re.sub(r"\n +\{\{ principle \}\}", "", shipped)
    moved = moved.replace("      <conversation>\n", "      {{ principle }}\n      <conversation>\n")
    for name, text in (("last", shipped), ("first", moved)):
        (folder / name).mkdir()
        (folder / name / "compare.yaml").write_text(text)


def asked(folder: Path, k: int, place: str, encoder: PromptEncoder) -> Iterator[list[int]]:
    """All prompts of a run in its order."""
    judge = Judge(Constitution.load(folder / f"{k}.yaml"), load_template("compare", folder / place), "any")
    for row in read_rows(str(folder / f"{k}.jsonl")):
        assert isinstance(row, Row)
        for question in in_cache_order(judge.ask(row, (0, 1))):
            encoded = encoder.encode(judge.prompt(question), decided=True)
            assert isinstance(encoded, Encoded)
            yield encoded.ids


def least(prompts: list[list[int]], seen: set[tuple[int, ...]]) -> int:
    """Tokens that no cache of blocks could spare; the last of a prompt is always computed. seen: what earlier ones began with,
    to which these are added."""
    computed = 0
    for ids in prompts:
        begins = [tuple(ids[:end]) for end in range(BLOCK, len(ids), BLOCK)]
        computed += len(ids) - BLOCK * next((n for n, begin in enumerate(begins) if begin not in seen), len(begins))
        seen.update(begins)
    return computed


def counted(url: str) -> list[float]:
    """The server's counters of tokens asked and of tokens found in its cache."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return [sum(float(line.split()[-1]) for line in lines if line.startswith(name)) for name in COUNTERS]


def measured(folder: Path, url: str, k: int, place: str) -> tuple[int, int]:
    """(tokens asked, tokens computed) of a labelling run."""
    before = counted(url)
    critic = CriticConfig(
        models=(url,),
        constitution=folder / f"{k}.yaml",
        prompts=folder / place,
        store=folder / f"{place}-{k}.sqlite",
        max_failure_rate=1,
    )
    label(LabelConfig(source=str(folder / f"{k}.jsonl"), out=folder / f"run-{place}-{k}", critic=critic))
    queries, hits = (after - begun for after, begun in zip(counted(url), before, strict=True))
    return int(queries), int(queries - hits)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/label_prefix.md"))
    options = parser.parse_args()
    model = str(lab_model("lab"))
    encoder = PromptEncoder(AutoTokenizer.from_pretrained(model))
    lines = ["# What a labelling run computes of what it asks", ""]
    lines += [
        f"Written by `python -m benchmarks.label_prefix --pairs {options.pairs}`: so many pairs of paragraphs of docs/, both"
    ]
    lines += ["orders, a vLLM server on a CPU with blocks of 32 tokens. Goal: within 5% of the least.", ""]
    lines += ["| principle | K | calls | tokens asked | computed | share | at least | above it |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder, options.pairs)
        seen: set[tuple[int, ...]] = set()
        with vllm_server(model, folder / "server.log", stats=True) as url:
            for place, k in product(("last", "first"), PRINCIPLES):
                prompts = list(asked(folder, k, place, encoder))
                total, computed = measured(folder, url, k, place)
                best = least(prompts, seen)
                lines.append(
                    f"| {place} | {k} | {len(prompts)} | {total:,} | {computed:,} | {computed / total:.3f} | {best:,} | "
                    f"{computed / best - 1:+.1%} |"
                )
                print(lines[-1], flush=True)
    options.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
