"""What benchmarks on the lab share: a grid of runs that can be stopped and continued, prompts, gold scores, intervals."""

from __future__ import annotations

import asyncio
import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple
from zlib import crc32

from filelock import FileLock, Timeout
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from rlaif.constitution.load import load_constitution
from rlaif.data.write import atomic_write
from rlaif.engines import EngineConfig
from rlaif.engines.base import Engine, Failure, Message, Sampling, Segment
from rlaif.errors import RunFailed
from rlaif.lab.gold import gold
from rlaif.lab.policy import MAX_TOKENS
from rlaif.lab.world import draw_questions
from rlaif.progress import Progress

CONSTITUTION = Path(__file__).parents[1] / "constitutions" / "lab.yaml"
WEIGHTS = {principle.id: principle.weight for principle in load_constitution(CONSTITUTION).principles}
PROMPTS_AT_ONCE = 128
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5% quantiles of Student's t with 1, 2, … degrees of freedom."""

Part = Literal["train", "dev", "heldout"]
"""Prompts to train on, to choose settings by, and for the figures. The first two are the world's split ``train``."""


class Cell(NamedTuple):
    """One run of a grid. what: everything that shapes its result. make: makes the result, a JSON object."""

    what: dict[str, Any]
    make: Callable[[Progress], dict[str, Any]]


def run_grid(cells: Mapping[str, Cell], folder: Path) -> dict[str, dict[str, Any]]:
    """The cells' results by name; only those are made that ``folder/NAME.json`` does not hold with the same ``what``.

    Several processes may work on one folder: each takes what no other is at, then waits for the rest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description:32}"), BarColumn(24), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bars:
        whole, one = bars.add_task("grid", total=len(cells)), bars.add_task("", total=None)
        display = Progress(
            lambda name, total, done: bars.reset(one, description=f"  {name}", total=total, completed=done),
            lambda done, figures: bars.update(one, completed=done),
        )
        for wait in (0, -1):
            for name, cell in cells.items():
                path = folder / f"{name}.json"
                bars.update(whole, completed=sum(_known(folder / f"{n}.json", c) is not None for n, c in cells.items()))
                try:
                    with FileLock(path.with_suffix(".lock"), timeout=wait):
                        if _known(path, cell) is None:
                            bars.update(whole, description=name)
                            found = {"what": cell.what, "result": cell.make(display)}
                            with atomic_write(path) as file:
                                json.dump(found, file, indent=1)
                except Timeout:
                    continue
    return {name: known for name, cell in cells.items() if (known := _known(folder / f"{name}.json", cell)) is not None}


def _known(path: Path, cell: Cell) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    return found["result"] if found["what"] == cell.what else None


def prompts(part: Part, n: int, seed: int) -> list[str]:
    """``n`` prompts of the lab's world; no prompt is in two parts."""
    drawn = (question.text for question in draw_questions(seed, "heldout" if part == "heldout" else "train"))
    mine = (text for text in drawn if part == "heldout" or (crc32(text.encode()) % 5 == 1) == (part == "dev"))
    return list(islice(mine, n))


def sample(model: str, asked: Sequence[str], n: int, seed: int) -> list[list[str]]:
    """``n`` replies to each prompt at temperature 1, through the transformers engine."""
    return asyncio.run(_sample(EngineConfig(model, engine="transformers").open(), asked, n, seed))


async def _sample(engine: Engine, asked: Sequence[str], n: int, seed: int) -> list[list[str]]:
    found = []
    for start in range(0, len(asked), PROMPTS_AT_ONCE):
        batch = [(Message("user", (Segment(text, False),)),) for text in asked[start : start + PROMPTS_AT_ONCE]]
        for drawn in await engine.generate(batch, Sampling(max_tokens=MAX_TOKENS, n=n, seed=seed + start)):
            if isinstance(drawn, Failure):
                raise RunFailed(f"the policy did not answer: {drawn.reason} {drawn.detail}")
            found.append([one.text for one in drawn])
    await engine.close()
    return found


def total(scores: Mapping[str, float]) -> float:
    """The mean of gold scores by the constitution's weights."""
    return sum(weight * scores[name] for name, weight in WEIGHTS.items()) / sum(WEIGHTS.values())


def mean_gold(replies: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Mean gold of (prompt, reply) by principle and in ``total``, and the mean number of ``words``."""
    replies = list(replies)
    scores = [gold(prompt, reply) for prompt, reply in replies]
    means = {name: statistics.fmean(score[name] for score in scores) for name in WEIGHTS}
    return {"total": total(means), **means, "words": statistics.fmean(len(reply.split()) for _, reply in replies)}


def evaluate(model: str, part: Part, n: int, seed: int) -> dict[str, float]:
    """``mean_gold`` of one reply to each of ``n`` prompts."""
    asked = prompts(part, n, seed)
    return mean_gold(zip(asked, (drawn[0] for drawn in sample(model, asked, 1, seed)), strict=True))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half the width of its 95% t-interval."""
    n = len(values)
    return statistics.fmean(values), T_QUANTILES[n - 2] * statistics.stdev(values) / math.sqrt(n)


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *lines])
