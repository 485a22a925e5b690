"""What reasons make of a critic, in the lab, where the truth of every verdict is known.

    python -m benchmarks.reasons --out FOLDER

A teacher, which is a rule, knows the gold score of each response by the principle that is asked about, and writes both as its
reasons; one time in five it confuses the responses. Its rationales that lead to the gold label teach ``lab:fallible``, which
follows position, to reason (``rlaif train critic --reasons``), and ``--reward verdict`` then rewards reasons that are right in
both orders. Beside it, the same critic is trained on the same pairs without reasons. All judge held-out pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlaif.api.training import train
from rlaif.constitution.load import load_constitution
from rlaif.critic.config import CriticConfig
from rlaif.critic.store import VerdictStore
from rlaif.critic.verdict import Comparison
from rlaif.data.rows import Turn
from rlaif.data.write import dumps
from rlaif.engines.base import Choice, Generation, Prompt, Sampling
from rlaif.engines.config import EngineConfig
from rlaif.evaluate.agreement import wilson
from rlaif.evaluate.table import interval
from rlaif.lab.gold import gold
from rlaif.lab.questions import Split
from rlaif.lab.world import rows
from rlaif.shipped import constitution_path

CONSTITUTION = constitution_path("lab")
STUDENT = "lab:fallible"
LONGEST = 12
"""Tokens of a rationale."""
GAP = 0.2
"""Least difference in gold by the principle that a pair is about."""
CONFUSED = 0.2
SCALE = 8
_PARTS = re.compile(
    r"<user>\n(.*?)\n</user>.*<response_a>\n(.*?)\n</response_a>\n<response_b>\n(.*?)\n</response_b>\n(.*)", re.DOTALL
)
_REASONS = re.compile(r"A scores (\d), B scores (\d)")


class Teacher:
    """An engine by rule, as ``--critic teacher --engine benchmarks.reasons:Teacher``."""

    identity = f"gold, confused {CONFUSED:.0%} of the time"
    notes: tuple[str, ...] = ()

    def __init__(self, config: EngineConfig) -> None:
        self._principles = load_constitution(CONSTITUTION).principles

    def check_choices(self, choices: Sequence[str]) -> None:
        pass

    def count_tokens(self, prompt: Prompt) -> int:
        return 0

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice]:
        return [self._choose(_text(prompt)) for prompt in prompts]

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation]]:
        return [[Generation(self._reasons(_text(prompt), sampling.seed), (), (), "stop")] for prompt in prompts]

    async def close(self) -> None:
        pass

    def _choose(self, text: str) -> Choice:
        first, second = map(int, _REASONS.findall(text)[-1])
        a = 0.5 if first == second else 0.95 if first > second else 0.05
        return Choice((math.log(a), math.log(1 - a)), 1.0, "A" if a > 0.5 else "B", 0)

    def _reasons(self, text: str, seed: int) -> str:
        parts = _PARTS.search(text)
        assert parts is not None
        prompt, *responses, asked = parts.groups()
        by = next(each.id for each in self._principles if each.text in asked or each.wordings.get("compare", "\n\n") in asked)
        scores = [round(SCALE * gold(prompt, response)[by]) for response in responses]
        luck = random.Random(zlib.crc32(f"{seed} {text}".encode())).random()
        first, second = scores if luck >= CONFUSED else scores[::-1]
        return f"A scores {first}, B scores {second}."


class Judged(NamedTuple):
    """Of held-out pairs: with a verdict that is the known one; with the known winner in both orders; with a verdict at all."""

    agreement: int
    both: int
    verdicts: int
    of: int


def pairs(many: int, seed: int, split: Split) -> Iterator[dict[str, Any]]:
    """Pairs of the lab, each with a gold label by one principle by which the responses differ."""
    luck, found = random.Random(seed), 0
    for row in rows(20 * many, seed, split):
        one, other = row["responses"]
        apart = [name for name in one["gold"] if abs(one["gold"][name] - other["gold"][name]) >= GAP]
        if not apart:
            continue
        by = luck.choice(apart)
        better, worse = (one, other) if one["gold"][by] > other["gold"][by] else (other, one)
        yield {
            "id": row["id"],
            "prompt": row["prompt"],
            "chosen": better["text"],
            "rejected": worse["text"],
            "principles": [{"id": by, "p": 1.0}],
        }
        found += 1
        if found == many:
            return


def judged(model: str, reasons: bool, held_out: Sequence[dict[str, Any]], store: Path) -> Judged:
    """What a critic says of pairs by their principle, asked in both orders as ``rlaif label`` asks."""
    options = {"reasons": True, "reasons_tokens": LONGEST} if reasons else {}
    config = CriticConfig(models=(model,), constitution=CONSTITUTION, store=store, **options)  # type: ignore[arg-type]
    engines = config.engines()
    found: list[Any] = []
    with VerdictStore(store) as verdicts:
        (critic,) = config.critics(engines, verdicts)
        by_id = {principle.id: principle for principle in critic.judge.constitution.principles}
        turn = {name: [(Turn(role="assistant", content=row[name]),) for row in held_out] for name in ("chosen", "rejected")}
        asked = [
            critic.judge.both_orders(by_id[row["principles"][0]["id"]], (Turn(role="user", content=row["prompt"]),), *texts)
            for row, *texts in zip(held_out, turn["chosen"], turn["rejected"], strict=True)
        ]

        async def ask() -> None:
            replies = await critic.ask(question for each in asked for question in each.questions)
            found.extend(critic.verdict(each, replies) for each in asked)
            await engines[0].close()

        asyncio.run(ask())
    known = [verdict for verdict in found if isinstance(verdict, Comparison)]
    both = [verdict.p - 0.5 > abs(verdict.gap or 0.0) / 2 for verdict in known]
    return Judged(sum(verdict.p > 0.5 for verdict in known), sum(both), len(known), len(held_out))


def _text(prompt: Prompt) -> str:
    return "\n".join(message.text for message in prompt)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--train", type=int, default=120, help="pairs to train on")
    parser.add_argument("--held-out", type=int, default=100, help="pairs to judge")
    parser.add_argument("--steps", type=int, default=6, help="of GRPO")
    given = parser.parse_args()
    out: Path = given.out
    out.mkdir(parents=True, exist_ok=True)
    source = out / "pairs.jsonl"
    source.write_text("".join(dumps(row) + "\n" for row in pairs(given.train, 0, "train")), encoding="utf-8")
    held_out = list(pairs(given.held_out, 0, "heldout"))
    common: dict[str, Any] = {"constitution": str(CONSTITUTION), "store": out / "verdicts.sqlite"}
    learning: dict[str, Any] = {"batch_size": 8, "epochs": 3.0, "learning_rate": 1e-3}
    direct = train("critic", source, model=STUDENT, out=out / "direct", constitution=CONSTITUTION, **learning)
    teacher = {"critic": "teacher", "engine": "benchmarks.reasons:Teacher", "votes": 2}
    reasons = {"reasons": True, "reasons_tokens": LONGEST, **teacher, **common, **learning}
    taught = train("critic", source, model=STUDENT, out=out / "reasons", **reasons)
    policy: dict[str, Any] = {"steps": given.steps, "batch_size": 4, "samples": 6, "max_tokens": LONGEST}
    policy |= {"eval_prompts": 16, "eval_every": given.steps}
    rewarded = train(
        "grpo", source, model=str(taught.path), out=out / "rewarded", reward="verdict", learning_rate=1e-4, **policy, **common
    )
    critics = {
        f"`{STUDENT}` as it comes": (STUDENT, False),
        "trained without reasons": (str(direct.path), False),
        "trained with `--reasons`": (str(taught.path), True),
        "then `--reward verdict`": (str(rewarded.path), True),
    }
    found = {name: judged(*each, held_out, out / "verdicts.sqlite") for name, each in critics.items()}
    print(json.dumps(taught.run["labelled_by"]["rationales"]))
    print(json.dumps({name: value for name, value in rewarded.run["metrics"].items() if "reward" in name}))
    print("| critic | agreement with gold | right in both orders | with a verdict |\n|---|---|---|---|")
    for name, counts in found.items():
        shares = (interval(wilson(many, counts.of)) for many in (counts.agreement, counts.both))
        print(f"| {name} | {' | '.join(shares)} | {counts.verdicts} of {counts.of} |")


if __name__ == "__main__":
    main()
