"""Preferences on the lab policy's responses: by the critic, and by gold with noise that makes it as good as the critic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.lab_grid import CONSTITUTION, Part, prompts, sample, total
from rlaif.data.exports import write_export
from rlaif.data.records import PreferenceRecord, read_records
from rlaif.data.write import JsonlWriter
from rlaif.lab.gold import gold
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.progress import Progress
from rlaif.settings import configure

PAIRED = 4
"""Responses per prompt that are compared with each other, ``PAIRS`` of the six pairs; best-of-n has more to choose from."""
PAIRS = "4"

Array = NDArray[np.float64]


def write_labels(folder: Path, part: Part, rows: int, responses: int, seed: int, display: Progress) -> dict[str, float]:
    """Sample, label twice, and write what each method reads; returns the figures of the labels.

    ``folder/SOURCE/`` holds ``preferences.jsonl`` and its exports, ``folder/SOURCE-best/sft.jsonl`` the best of all the
    ``responses``; SOURCE is ``critic`` or ``gold``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    display.stage("sample", 1, 0)
    asked = prompts(part, rows, seed)
    drawn = sample("lab:policy", asked, responses, seed)
    data: list[dict[str, Any]] = [
        {"id": f"{seed}-{number}", "prompt": prompt, "responses": [{"text": x, "gold": gold(prompt, x)} for x in texts]}
        for number, (prompt, texts) in enumerate(zip(asked, drawn, strict=True))
    ]
    write_records(folder / "all.jsonl", data)
    write_records(folder / "paired.jsonl", [{**row, "responses": row["responses"][:PAIRED]} for row in data])
    label(folder / "paired.jsonl", folder / "critic", display, pairs=PAIRS, export=("sft", "unpaired"), seed=seed)
    label(folder / "all.jsonl", folder / "critic-best", display, mode="score", pairs="1", export=("sft",), seed=seed)
    truth = np.array([[total(response["gold"]) for response in row["responses"]] for row in data])
    return _label_by_gold(folder, data, truth, seed)


def label(source: Path, out: Path, display: Progress, **options: Any) -> None:
    """``rlaif label`` with the lab's critic and constitution, both orders."""
    config = configure(
        LabelConfig,
        source=str(source),
        constitution=CONSTITUTION,
        critic="lab",
        out=out,
        store=out.with_suffix(".sqlite"),
        engine="transformers",
        overwrite=True,
        **options,
    )
    run_label(config, display.within(out.name))


def _label_by_gold(folder: Path, data: list[dict[str, Any]], truth: Array, seed: int) -> dict[str, float]:
    """truth: [N, K], the responses' gold totals.

    A judge perceives truth + T g with g Gumbel noise on each response, so that it prefers i to j with probability
    σ((truth_i − truth_j) / T): Bradley–Terry. T makes its agreement with the truth the critic's. Its soft label is σ of the
    perceived difference over S, where S makes it as sure of itself, in the mean |p − ½|, as the critic is.
    """
    records = list(read_records(folder / "critic" / "preferences.jsonl", PreferenceRecord))
    places = [(record.row - 1, record.chosen_index, record.rejected_index) for record in records]
    row, i, j = np.array(places).T
    critic = np.array([record.p_chosen for record in records])
    difference = truth[row, i] - truth[row, j]
    noise = np.random.default_rng([seed, len(data)]).gumbel(size=truth.shape)
    noisy = noise[row, i] - noise[row, j]
    untied = np.abs(difference) > 1e-9

    def agreement(scale: float) -> float:
        return float(np.mean((difference + scale * noisy)[untied] * difference[untied] > 0))

    agreed = float(np.mean(difference[untied] > 0))  # the critic's chosen response comes first
    scale = where(agreement, agreed, 0.0, 10.0)
    perceived = difference + scale * noisy

    def confidence(softness: float) -> float:
        return float(np.mean(np.abs(sigmoid(perceived / softness) - 0.5)))

    softness = where(confidence, float(np.mean(critic - 0.5)), 1e-4, 10.0)
    labels = sigmoid(perceived / softness)
    judged = [_judged(*each) for each in zip(records, labels.tolist(), strict=True)]
    write_records(folder / "gold" / "preferences.jsonl", [record.to_dict() for record in judged])
    for name in ("sft", "unpaired"):
        write_export(name, folder / "gold")
    best = np.argmax(truth + scale * noise, axis=1).tolist()
    chosen = [{"prompt": row["prompt"], "completion": row["responses"][k]["text"]} for row, k in zip(data, best, strict=True)]
    write_records(folder / "gold-best" / "sft.jsonl", chosen)
    return {
        "pairs": len(records),
        "critic agreement": agreed,
        "gold agreement": agreement(scale),
        "critic confidence": float(np.mean(critic - 0.5)),
        "gold confidence": confidence(softness),
        "T": scale,
        "S": softness,
    }


def _judged(record: PreferenceRecord, p: float) -> PreferenceRecord:
    """The critic's record with another judge's p that its chosen response is the better one."""
    bare = replace(record, p_chosen=max(p, 1 - p), principles=(), gold=(), critic="gold")
    if p >= 0.5:
        return bare
    indexes: dict[str, Any] = {"chosen_index": record.rejected_index, "rejected_index": record.chosen_index}
    return replace(bare, chosen=record.rejected, rejected=record.chosen, **indexes)


def where(falling: Callable[[float], float], value: float, low: float, high: float) -> float:
    """The argument in [low, high] at which a falling function passes ``value``, by bisection."""
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > value else (low, middle)
    return (low + high) / 2


def sigmoid(x: Array) -> Array:
    logistic: Array = np.exp(-np.logaddexp(0.0, -x))
    return logistic


def write_records(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with JsonlWriter(path) as writer:
        for record in records:
            writer.write(dict(record))
