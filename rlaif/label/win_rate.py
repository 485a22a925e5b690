"""Two models on the same prompts: their responses as pairs, judged by a critic."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlaif.data.read import read_rows
from rlaif.data.records import OVERALL, PreferenceRecord, read_records
from rlaif.data.rows import Row
from rlaif.data.write import atomic_write, dumps
from rlaif.errors import UsageError
from rlaif.evaluate.win_rate import WinRate, games, win_rate
from rlaif.label.config import LabelConfig, WinRateConfig
from rlaif.label.run import run_label
from rlaif.progress import Progress
from rlaif.sample.config import SampleConfig
from rlaif.sample.run import run_sample

FIRST_LOOK = 100
"""Pairs that are judged before the interval's width is looked at; then as many again each time."""


def compare_models(config: WinRateConfig, progress: Progress | None = None) -> list[WinRate]:
    """A's win rate over B, overall and by principle; the labels are in ``config.out``, as of ``rlaif label``.

    A prompt's n-th responses meet. Prompts that only one of the two has answered are left out.

    Raises UsageError where there are no responses to compare, RunFailed where the critic cannot be asked.
    """
    progress = progress or Progress()
    pairs = list(_pairs(config, *(_samples(config, side, progress) for side in ("a", "b"))))
    if not pairs:
        raise UsageError(f"{config.model_a} and {config.model_b}: no prompt has a response from both")
    source = config.out.with_name(f"{config.out.name}-pairs.jsonl")
    with atomic_write(source) as file:
        file.writelines(dumps(pair) + "\n" for pair in pairs)
    label = LabelConfig(
        source=str(source),
        critic=replace(config.critic, mode="compare"),
        out=config.out,
        overwrite=config.overwrite or _is_ours(config, source),
    )
    looks = [*range(FIRST_LOOK, len(pairs), FIRST_LOOK), len(pairs)] if config.width else [len(pairs)]
    for judged in looks:
        run_label(replace(label, limit=judged), progress)
        label = replace(label, overwrite=True)
        rates = _rates(config)
        overall = rates[0].share
        if config.width and overall.high - overall.low <= config.width:
            break
    return rates


def _is_ours(config: WinRateConfig, source: Path) -> bool:
    """Whether the folder holds what an earlier look, of this command or the same one before, has written."""
    try:
        run = json.loads((config.out / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(run, dict) and run.get("source") == str(source)


def _rates(config: WinRateConfig) -> list[WinRate]:
    """Overall first, then by principle."""
    played = games(read_records(config.out / "preferences.jsonl", PreferenceRecord))
    return [win_rate(name, played[name], config.critic.seed) for name in [OVERALL, *(n for n in played if n != OVERALL)]]


def _samples(config: WinRateConfig, side: str, progress: Progress) -> Path:
    """The file of a side's responses, sampled first where it is a model."""
    given = config.model_a if side == "a" else config.model_b
    if Path(given).is_file():
        return Path(given)
    if config.source is None:
        raise UsageError(f"{given}: no such file; to sample from a model of that name, give --source")
    out = config.out.with_name(f"{config.out.name}-{side}.jsonl")
    run_sample(
        SampleConfig(
            source=config.source,
            model=given,
            out=out,
            limit=config.limit,
            seed=config.critic.seed,
            drawing=config.drawing,
            store=config.critic.store,
            overwrite=config.overwrite,
        ),
        progress,
    )
    return out


def _pairs(config: WinRateConfig, first: Path, second: Path) -> Iterator[dict[str, Any]]:
    """Rows of two responses, A's first."""
    others = {repr(row.conversation): row for row in read_rows(str(second)) if isinstance(row, Row)}
    rows = (row for row in read_rows(str(first), config.limit) if isinstance(row, Row))
    for row in rows:
        other = others.get(repr(row.conversation))
        for number, (a, b) in enumerate(zip(row.responses, other.responses, strict=False) if other else ()):
            yield {
                "id": f"{row.id}#{number}",
                "prompt": list(row.conversation),
                "responses": [{"messages": list(a.turns), "side": "A"}, {"messages": list(b.turns), "side": "B"}],
            }
