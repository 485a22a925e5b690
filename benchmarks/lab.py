"""How good the lab's models are against the world's gold: writes benchmarks/lab.md.

    python benchmarks/lab.py [--rows 400] [--models DIR]

Judge prompts are the real ones (templates, principle wordings), asked through the transformers engine as `rlaif label` does.
Accuracy: share of pairs, among those whose gold differs, where the verdict's winner is gold's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rlaif.critic.modes.compare import comparison, first_label
from rlaif.critic.modes.score import score
from rlaif.critic.templates import load_template
from rlaif.data.rows import Turn
from rlaif.engines import EngineConfig
from rlaif.engines.base import Engine, Failure
from rlaif.evaluate.agreement import correlation, moments
from rlaif.evaluate.calibration import ece, reliability
from rlaif.lab import MODELS, wordings
from rlaif.lab.gold import PRINCIPLES, read
from rlaif.lab.policy import sampled_rows
from rlaif.lab.questions import Split, questions
from rlaif.lab.world import rows

COMMAND = "python benchmarks/lab.py"
SEED = 2024


class Pair(NamedTuple):
    """One comparison's answer: P(first is better) shown in each order, and gold's difference."""

    principle: str
    ab: float
    ba: float
    margin: float


def turns(text: str) -> list[Turn]:
    return [{"role": "assistant", "content": text}]


async def compared(engine: Engine, data: list[dict[str, Any]], split: Split) -> list[Pair]:
    """Every non-tie pair of ``data`` under every principle, in both orders."""
    template, rng = load_template("compare"), random.Random(SEED)
    asked, prompts = [], []
    for row in data:
        first, second = row["responses"]
        for name in PRINCIPLES:
            margin = first["gold"][name] - second["gold"][name]
            if margin == 0:
                continue
            wording = template.wording(rng.choice(wordings.texts(name, split)), None)
            asked.append((name, margin))
            for a, b in ((first, second), (second, first)):
                conversation: list[Turn] = [{"role": "user", "content": row["prompt"]}]
                prompts.append(template.render(wording, conversation, [turns(a["text"]), turns(b["text"])]))
    answers = await engine.choose(prompts, template.choices)
    pairs = []
    for (name, margin), ab, ba in zip(asked, answers[::2], answers[1::2], strict=True):
        if isinstance(ab, Failure) or isinstance(ba, Failure) or isinstance(comparison([ab, ba]), Failure):
            raise SystemExit(f"the critic gave no verdict: {ab} {ba}")
        pairs.append(Pair(name, first_label(ab), 1 - first_label(ba), margin))
    return pairs


async def scored(engine: Engine, data: list[dict[str, Any]]) -> dict[str, float]:
    """Correlation of the expected score with gold, per principle and over ``all``."""
    template, rng = load_template("score"), random.Random(SEED)
    asked, prompts = [], []
    for row in data:
        for response in row["responses"]:
            for name in PRINCIPLES:
                wording = template.wording(rng.choice(wordings.texts(name, "train")), None)
                conversation: list[Turn] = [{"role": "user", "content": row["prompt"]}]
                prompts.append(template.render(wording, conversation, [turns(response["text"])]))
                asked.append((name, response["gold"][name]))
    verdicts = [score(answer) for answer in await engine.choose(prompts, template.choices)]
    said = np.array([verdict.score for verdict in verdicts if not isinstance(verdict, Failure)])
    if len(said) < len(verdicts):
        raise SystemExit("the critic gave no verdict on some responses")
    gold = np.array([value for _, value in asked])
    names = np.array([name for name, _ in asked])
    per = {name: correlation(moments(said[names == name], gold[names == name])) for name in PRINCIPLES}
    return {**per, "all": correlation(moments(said, gold))}


def accuracy(pairs: list[Pair], p: str = "ab") -> float:
    """Mean over principles of the share of right winners; p: ``ab``, ``ba`` or ``both``."""
    return statistics.fmean(per_principle(pairs, p).values())


def per_principle(pairs: list[Pair], p: str = "ab") -> dict[str, float]:
    values: Callable[[Pair], float] = {
        "ab": lambda pair: pair.ab,
        "ba": lambda pair: pair.ba,
        "both": lambda pair: (pair.ab + pair.ba) / 2,
    }[p]
    right = {name: [(values(x) > 0.5) == (x.margin > 0) for x in pairs if x.principle == name] for name in PRINCIPLES}
    return {name: statistics.fmean(found) for name, found in right.items()}


def calibration(pairs: list[Pair], p: str) -> float:
    values = [pair.ab if p == "ab" else (pair.ab + pair.ba) / 2 for pair in pairs]
    return ece(reliability(np.array(values), np.array([pair.margin for pair in pairs])))


def rates(data: list[dict[str, Any]]) -> dict[str, float]:
    """Shares of replies with each attribute, and mean gold per principle."""
    found = [(row["prompt"], response) for row in data for response in row["responses"]]
    seen = [(questions()[prompt], read(questions()[prompt], response["text"])) for prompt, response in found]
    claims = [reply.right for question, reply in seen if question.kind != "risky" and reply.substance in ("answer", "half")]
    shares = {
        "courteous opener": statistics.fmean(reply.opener for _, reply in seen),
        "insult": statistics.fmean(reply.insult for _, reply in seen),
        "hedge": statistics.fmean(reply.certainty > 0 for _, reply in seen),
        "boast": statistics.fmean(reply.certainty < 0 for _, reply in seen),
        "named source": statistics.fmean(reply.evidence == 2 for _, reply in seen),
        "refusal": statistics.fmean(reply.substance in ("refusal", "redirect") for _, reply in seen),
        "right, of claims": statistics.fmean(claims),
        "words": statistics.fmean(len(response["text"].split()) for _, response in found),
    }
    return shares | {f"gold: {name}": statistics.fmean(r["gold"][name] for _, r in found) for name in PRINCIPLES}


def table(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])


async def main(n: int, models: Path) -> None:
    data = list(rows(n, SEED, "heldout"))
    critics = {}
    for name in ("critic", "fallible"):
        engine = EngineConfig(str(models / name), engine="transformers").open()
        known, new = await compared(engine, data, "train"), await compared(engine, data, "heldout")
        critics[name] = known, new, await scored(engine, data[: n // 2])
        await engine.close()
    engine = EngineConfig(str(models / "policy"), engine="transformers").open()
    drawn = await sampled_rows(engine, n, SEED, "heldout", 2)
    replies = [response for row in drawn for response in row["responses"]]
    ended = statistics.fmean(response["finish"] == "stop" for response in replies)
    distinct = len({response["text"] for response in replies})

    def figures(of: Callable[..., float]) -> list[str]:
        return [f"{of(*critics[name]):.3f}" for name in critics]

    summary = [
        ["accuracy, one order, mean of principles", *figures(lambda known, new, scores: accuracy(known))],
        ["accuracy, both orders", *figures(lambda known, new, scores: accuracy(known, "both"))],
        ["accuracy, one order, held-out wordings", *figures(lambda known, new, scores: accuracy(new))],
        ["accuracy, both orders, held-out wordings", *figures(lambda known, new, scores: accuracy(new, "both"))],
        [
            "position consistency (same winner in both orders)",
            *figures(lambda known, new, scores: statistics.fmean((x.ab > 0.5) == (x.ba > 0.5) for x in known)),
        ],
        [
            "mean gap (P(A) shown first − shown second)",
            *figures(lambda known, new, scores: statistics.fmean(x.ab - x.ba for x in known)),
        ],
        ["ECE, one order", *figures(lambda known, new, scores: calibration(known, "ab"))],
        ["ECE, both orders", *figures(lambda known, new, scores: calibration(known, "both"))],
        ["correlation of score with gold", *figures(lambda known, new, scores: scores["all"])],
    ]
    known, new, scores = critics["critic"]
    count = {name: sum(pair.principle == name for pair in known) for name in PRINCIPLES}
    one, both, held = per_principle(known), per_principle(known, "both"), per_principle(new)
    weak, scale = per_principle(critics["fallible"][0]), critics["fallible"][2]
    principles = [
        [name, str(count[name]), *(f"{x[name]:.3f}" for x in (one, both, held, scores, weak, scale))] for name in PRINCIPLES
    ]
    grammar, policy = rates(data), rates(drawn)
    built = json.loads((models / "build.json").read_text())
    builds = [
        [
            name,
            f"{b['seconds'] / 60:.1f} min",
            str(b["threads"]),
            str(b["samples"]),
            str(b["steps"]),
            f"{b['parameters'] / 1e6:.2f} M",
            str(b["seed"]),
        ]
        for name, b in built.items()
    ]
    blind = [name for name in PRINCIPLES if both[name] < 0.65]
    text = f"""# The lab's models

Written by `{COMMAND} --rows {n}`. {n} rows of held-out prompts (seed {SEED}), {len(known)} comparisons with different gold,
each in both orders; scores on {n // 2} of the rows; everything through the transformers engine in float32 on a CPU.

## Critics

{table(["", "critic", "fallible"], summary)}

By principle (accuracy in one order unless said otherwise; r: correlation of the score with gold):

{table(["principle", "pairs", "critic", "both orders", "held-out wordings", "r", "fallible", "fallible r"], principles)}

Blind spot of the critic (under .65 in both orders): {", ".join(blind) or "none"}.

## Policy

{len(replies)} samples at temperature 1 on the same prompts: {distinct} distinct, {ended:.1%} ended by themselves.

{table(["", "grammar", "policy"], [[name, f"{grammar[name]:.2f}", f"{policy[name]:.2f}"] for name in grammar])}

## Builds

`rlaif lab build`, {sum(b["seconds"] for b in built.values()) / 60:.1f} minutes in all:

{table(["model", "time", "threads", "samples", "steps", "parameters", "seed"], builds)}
"""
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--models", type=Path, default=MODELS)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.rows, arguments.models))
