"""Rows whose responses the lab's policy wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from statistics import fmean
from typing import Any

from rlaif.engines.base import Engine, Failure, Message, Sampling, Segment
from rlaif.errors import RunFailed
from rlaif.lab.gold import PRINCIPLES, gold
from rlaif.lab.questions import Split
from rlaif.lab.world import rows

BATCH = 64
MAX_TOKENS = 96


async def sampled_rows(engine: Engine, n: int, seed: int, split: Split, responses: int) -> list[dict[str, Any]]:
    """The prompts of ``rows(n, seed, split)``, each answered ``responses`` times at temperature 1, with gold scores."""
    sampled: list[dict[str, Any]] = []
    for batch in _chunks(rows(n, seed, split, responses=0)):
        prompts = [(Message("user", (Segment(row["prompt"], False),)),) for row in batch]
        draws = await engine.generate(prompts, Sampling(max_tokens=MAX_TOKENS, n=responses, seed=seed + len(sampled)))
        for row, drawn in zip(batch, draws, strict=True):
            if isinstance(drawn, Failure):
                raise RunFailed(f"the policy did not answer {row['prompt']!r}: {drawn.reason} {drawn.detail}")
            answers = [
                {"text": response.text, "gold": gold(row["prompt"], response.text), "finish": response.finish}
                for response in drawn
            ]
            sampled.append({**row, "responses": answers})
    return sampled


def mean_gold(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Mean gold scores, by principle, of all responses of rows that ``sampled_rows`` made."""
    scores = [response["gold"] for row in rows for response in row["responses"]]
    return {name: fmean(score[name] for score in scores) for name in PRINCIPLES}


def _chunks(stream: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while chunk := list(islice(stream, BATCH)):
        yield chunk
