"""A reward model's scores of responses of which some are known to be better, and what they say of the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

from rlaif.config_file import shown, write_config
from rlaif.data.inputs import stamp
from rlaif.data.read import count_rows
from rlaif.data.records import OVERALL, FailureRecord, GoldScore, ScoreRecord
from rlaif.data.rows import BadRow, Row, Turn
from rlaif.data.run_folder import RunFolder
from rlaif.data.write import JsonlWriter
from rlaif.engines.base import FailureReason
from rlaif.errors import UsageError
from rlaif.evaluate.benchmark_rows import open_rows
from rlaif.evaluate.config import RewardModelConfig
from rlaif.evaluate.outcome import Found, as_json, continued, named
from rlaif.evaluate.requirements import CORRELATION, NUMBER, SHARE, Range
from rlaif.evaluate.reward import Judged, cells, facts, pairs_of, rewards
from rlaif.evaluate.rewardbench import TIES, BestOf, Scored, best_of
from rlaif.progress import Progress

ROWS = 32
"""Scored at a time."""
MEASURES: dict[str, Range] = {
    **dict.fromkeys(("accuracy", "longer", "shorter", "ece", "best-of"), SHARE),
    "slope": NUMBER,
    "length": CORRELATION,
}
"""What can be required; ``longer`` and ``shorter`` are the accuracy where the better response is that."""


def check_reward_model(config: RewardModelConfig, progress: Progress | None = None) -> Found:
    """Score every response, into ``config.out``, and hold the scores against what is known of the responses.

    Raises UsageError where model or rows cannot be used, or nothing is known of any two responses of a row.
    """
    from rlaif.train.predict import RewardModel

    progress = progress or Progress()
    rows, by = open_rows(config.source, config.by, config.columns, config.limit)
    with RunFolder(config.out, {"kind": "evaluate reward", "source": config.source}, config.overwrite, config) as folder:
        models = [RewardModel(path, trust_remote_code=config.trust_remote_code) for path in config.model.split(",")]
        facts: dict[str, Any] = {
            "config": shown(config),
            "source_digest": stamp(config.source),
            "reward_model": " + ".join(model.identity for model in models),
        }
        continued(folder, facts, config, ["reward_model"])
        write_config(config, config.out, "evaluate reward")
        total = count_rows(config.source)
        progress.stage("score", total if total is None or config.limit is None else min(total, config.limit), 0)
        judged: list[tuple[Row, list[Judged]]] = []
        done = failed = 0
        with JsonlWriter(config.out / "scores.jsonl") as scores, JsonlWriter(config.out / "failures.jsonl") as failures:
            while batch := list(islice(rows, ROWS)):
                usable = [row for row in batch if isinstance(row, Row)]
                for bad in (row for row in batch if isinstance(row, BadRow)):
                    failures.write(FailureRecord(row=bad.number, reason=str(FailureReason.BAD_ROW), detail=bad.detail))
                for row, responses in zip(usable, _scored(models, usable, config), strict=True):
                    judged.append((row, responses))
                    failed += _write(row, responses, facts["reward_model"], scores, failures)
                done, failed = done + len(batch), failed + len(batch) - len(usable)
                progress.update(done, {"failed": failed})
        found = _found(judged, by, config)
        facts |= {"counts": {"rows_in": done, "failed": failed}, "by": by, "figures": [as_json(row) for row in found.rows]}
        folder.write("finished", facts)
    return found


def _scored(models: Sequence[Any], rows: Sequence[Row], config: RewardModelConfig) -> list[list[Judged]]:
    """Each row's responses. One of several turns is scored as the answer to the turns before its last."""
    import torch

    from rlaif.train.predict import combine

    asked: list[tuple[tuple[Turn, ...], str]] = []
    for row in rows:
        asked += [(row.conversation + each.turns[:-1], each.turns[-1]["content"]) for each in row.responses]
    members = torch.cat([model.members([turns for turns, _ in asked], [text for _, text in asked]) for model in models], -1)
    score = combine(members, config.prediction, config.penalty).tolist()
    odds = (members * torch.cat([model.scale for model in models])).mean(-1).tolist()
    known = iter(zip(score, odds, strict=True))
    return [
        [
            Judged(*next(known), gold, sum(len(turn["content"]) for turn in response.turns))
            for response, gold in zip(row.responses, _gold(row), strict=True)
        ]
        for row in rows
    ]


def _gold(row: Row) -> list[float | None]:
    """What is known of each response: its ``overall``, or that it is the preferred one, or the mean of its principles' gold."""
    if row.preferred is not None:
        return [float(index == row.preferred) for index in range(len(row.responses))]
    names = set.intersection(*(set(response.gold) for response in row.responses)) if row.responses else set()
    if OVERALL in names:
        return [response.gold[OVERALL] for response in row.responses]
    return [math.fsum(response.gold[name] for name in names) / len(names) if names else None for response in row.responses]


def _write(row: Row, responses: Sequence[Judged], model: str, scores: JsonlWriter, failures: JsonlWriter) -> int:
    """Write the row's scores; returns how many are missing."""
    missing = 0
    for index, (response, judged) in enumerate(zip(row.responses, responses, strict=True)):
        if math.isnan(judged.score):
            missing += 1
            detail = "the prompt fills the model's context, or its chat template refuses the row"
            failures.write(
                FailureRecord(row=row.number, id=row.id, pair=(index,), reason=str(FailureReason.TOO_LONG), detail=detail)
            )
            continue
        gold = () if judged.gold is None else (GoldScore(id=OVERALL, score=judged.gold),)
        scores.write(
            ScoreRecord(
                id=f"{row.id}:{index}",
                prompt=row.conversation,
                response=response.turns,
                score=judged.score,
                critic=model,
                row=row.number,
                index=index,
                gold=gold,
            )
        )
    return missing


def _found(judged: Sequence[tuple[Row, Sequence[Judged]]], by: str | None, config: RewardModelConfig) -> Found:
    prompts: dict[str, int] = {}
    rows = [
        (
            prompts.setdefault(repr(row.conversation), len(prompts)),
            str(row.extra.get(by, "")) if by else "",
            responses if row.extra.get("subset") != TIES or "num_correct" not in row.extra else (),
        )
        for row, responses in judged
    ]
    pairs = pairs_of(rows)
    if not len(pairs.lead):
        raise UsageError(f"{config.source}: no row has two scored responses of which one is known to be better")
    lines = rewards(pairs, _best_of(judged), config.seed)
    attributes = [name.replace("-", "_") for name in MEASURES]
    figures = named(lines, "all", **dict(zip(attributes, attributes, strict=True)))
    return Found(lines, cells(lines), figures, facts(lines))


def _best_of(judged: Sequence[tuple[Row, Sequence[Judged]]]) -> list[BestOf]:
    """Of the rows of RewardBench 2 that are scored in whole."""
    scored: list[Scored] = []
    for row, responses in judged:
        if "num_correct" in row.extra and not any(math.isnan(each.score) for each in responses):
            right, wrong = ([each.score for each in responses if each.gold == gold] for gold in (1.0, 0.0))
            scored.append(Scored(row.id, str(row.extra["subset"]), right, wrong))
    others = [(prompt.subset, float(prompt.lead > 0)) for prompt in scored if prompt.subset != TIES]
    return best_of(others, [prompt for prompt in scored if prompt.subset == TIES]) if scored else []
