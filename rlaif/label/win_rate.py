"""Two models on the same prompts: their responses as pairs, judged by a critic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlaif.data.read import read_rows
from rlaif.data.records import OVERALL, PreferenceRecord, beside_overall
from rlaif.data.rows import Row
from rlaif.data.write import atomic_write, dumps
from rlaif.errors import UsageError
from rlaif.evaluate.gold import labelled_records
from rlaif.evaluate.outcome import Found, named
from rlaif.evaluate.prediction_powered import FEWEST
from rlaif.evaluate.requirements import SHARE, Range
from rlaif.evaluate.table import interval
from rlaif.evaluate.win_rate import WinRate, games, win_rate
from rlaif.label.config import LabelConfig, WinRateConfig
from rlaif.label.run import run_label
from rlaif.progress import Progress
from rlaif.sample.config import SampleConfig, SamplingConfig
from rlaif.sample.run import run_sample

FIRST_LOOK = 100
"""Pairs that are judged before the interval's width is looked at; then as many again each time."""
MEASURES: dict[str, Range] = {"win-rate": SHARE, "equal-length": SHARE, "corrected": SHARE}
"""What can be required."""


def compare_models(config: WinRateConfig, progress: Progress | None = None) -> list[WinRate]:
    """A's win rate over B, overall and by principle; the labels are in ``config.out``, as of ``rlaif label``.

    A prompt's n-th responses meet. Prompts that only one of the two has answered are left out.

    Raises UsageError where there are no responses to compare, RunFailed where the critic cannot be asked.
    """
    progress = progress or Progress()
    first, second = (
        responses(given, config.out.with_name(f"{config.out.name}-{side}.jsonl"), config, progress)
        for side, given in (("a", config.model_a), ("b", config.model_b))
    )
    pairs = list(pairs_of(first, second, config.limit))
    if not pairs:
        raise UsageError(f"{config.model_a} and {config.model_b}: no prompt has a response from both")
    source = config.out.with_name(f"{config.out.name}-pairs.jsonl")
    with atomic_write(source) as file:
        file.writelines(dumps(pair) + "\n" for pair in pairs)
    label = LabelConfig(
        source=str(source), critic=replace(config.critic, mode="compare"), out=config.out, overwrite=config.overwrite
    )
    run_label(label, progress, _Looks(source, len(pairs), config.width) if config.width else None)
    played = games(labelled_records(config.out, config.gold))
    return [win_rate(name, played[name], config.critic.seed) for name in [OVERALL, *(n for n in played if n != OVERALL)]]


def found(rates: list[WinRate]) -> Found:
    """The table of win rates, overall first."""
    names = [rates[0].name, *(beside_overall(rate.name) for rate in rates[1:])]
    rows = [
        [name, interval(rate.share), interval(rate.controlled), *(f"{n:,}" for n in (rate.wins, rate.ties, rate.losses))]
        for name, rate in zip(names, rates, strict=True)
    ]
    header = ["", "A wins", "at equal length", "won", "tied", "lost"]
    facts = []
    if any(rate.labelled for rate in rates):
        header.append("corrected")
        rows = [[*row, interval(rate.corrected)] for row, rate in zip(rows, rates, strict=True)]
        facts.append(f"corrected: A's win rate over all pairs by the labels of {rates[0].labelled:,} of them, from {FEWEST} on")
    parts = [rate._replace(name=name) for name, rate in zip(names, rates, strict=True)]
    figures = named(parts, OVERALL, win_rate="share", equal_length="controlled", corrected="corrected")
    return Found(rates, [header, *rows], figures, facts)


def responses(given: str, out: Path, config: Any, progress: Progress) -> Path:
    """The file of responses that ``given`` is, or those that are sampled into ``out`` where it is a model.

    config: has ``source``, ``limit``, ``critic``, ``drawing`` and ``overwrite``. Raises UsageError where there are no prompts
    to sample from.
    """
    if Path(given).is_file():
        return Path(given)
    if config.source is None:
        raise UsageError(f"{given}: no such file; to sample from a model of that name, give --source")
    drawing: SamplingConfig = config.drawing
    run_sample(
        SampleConfig(
            source=config.source,
            model=given,
            out=out,
            limit=config.limit,
            seed=config.critic.seed,
            drawing=drawing,
            store=config.critic.store,
            overwrite=config.overwrite,
        ),
        progress,
    )
    return out


def pairs_of(first: Path, second: Path, limit: int | None) -> Iterator[dict[str, Any]]:
    """Rows of two responses, those of ``first`` first."""
    others = {repr(row.conversation): row for row in read_rows(str(second)) if isinstance(row, Row)}
    rows = (row for row in read_rows(str(first), limit) if isinstance(row, Row))
    for row in rows:
        other = others.get(repr(row.conversation))
        for number, (a, b) in enumerate(zip(row.responses, other.responses, strict=False) if other else ()):
            yield {
                **row.extra,
                "id": f"{row.id}#{number}",
                "prompt": list(row.conversation),
                "responses": [{"messages": list(a.turns), "side": "A"}, {"messages": list(b.turns), "side": "B"}],
            }


class _Looks:
    """The pairs, ``FIRST_LOOK`` at a time, until the interval of the overall win rate is narrow enough.

    Looking again and again at an interval of fixed width leaves its coverage as it is in the limit (Chow & Robbins 1965).
    """

    def __init__(self, source: Path, total: int, width: float) -> None:
        self.total, self._source, self._width = total, source, width
        self._records: list[PreferenceRecord] = []

    def seen(self, record: PreferenceRecord) -> None:
        self._records.append(record)

    def __iter__(self) -> Iterator[list[Any]]:
        look: list[Any] = []
        for row in read_rows(str(self._source)):
            look.append(row)
            if len(look) == FIRST_LOOK:
                yield look
                look = []
                overall = win_rate(OVERALL, games(self._records)[OVERALL]).share
                if overall.high - overall.low <= self._width:
                    return
        if look:
            yield look
