"""A critic from a constitution alone: pairs of which it is known which response is better, because one was made so.

A model answers prompts, and revises each answer by one principle, drawn by weight. The critic (the model itself, unless another
is named) compares both by every principle, in both orders. Source: Bai et al. 2022, arXiv 2212.08073 §3 and §4 (revisions, and
labels by principles); in place of chain of thought or an ensemble, agreement over both orders decides what is learnt.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlaif.data.records import PreferenceRecord, PrincipleVerdict, RevisionRound, read_records
from rlaif.data.write import JsonlWriter
from rlaif.errors import RunFailed, UsageError
from rlaif.label.revise_run import run_revise
from rlaif.processes import processes
from rlaif.progress import Progress
from rlaif.sample.run import run_sample
from rlaif.train.feedback import GeneratedConfig
from rlaif.train.rationales import run_reasoned

JUDGED = ("preferences.jsonl", "rejected.jsonl")
"""Of a revising run: all pairs of a revision and its original."""


def run_generated(config: GeneratedConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Make the pairs in the folder ``OUT-generated``, train on them, and return the content of ``run.json``; without
    ``generate``, train on the source. Either as ``run_reasoned`` does.

    Each stage continues where it was stopped. Raises UsageError and RunFailed as the stages do, RunFailed where no pair holds.
    """
    train, progress = config.train, progress or Progress()
    if config.generation.generate is None:
        return run_reasoned(config, progress)
    if processes().num_processes > 1:
        raise UsageError("--generate runs in one process; launch several for the training alone, on the pairs that it made")
    sample, revise = config.stages()
    run_sample(sample, progress)
    run_revise(revise, progress)
    pairs, kept = revise.out / "pairs.jsonl", list(held_pairs(revise.out))
    with JsonlWriter(pairs) as file:
        for record in kept:
            file.write(record)
    if not kept:
        raise RunFailed(
            f"in no pair of {revise.out} does the critic say in both orders that the revision is better by its own principle: "
            "it follows position, or the revisions are no better; rlaif critic check says which, and --critic names another"
        )
    return run_reasoned(replace(config, train=replace(train, source=str(pairs), columns=None, limit=None)), progress)


def held_pairs(revised: Path) -> Iterator[PreferenceRecord]:
    """The pairs whose revision is better by its own principle in both orders. By this principle its label is certain: it was
    made to be better, and was found so. Of the other principles those stay that name one winner in both orders, with their soft
    label.
    """
    for name in JUDGED:
        for record in read_records(revised / name, PreferenceRecord):
            (made,) = (RevisionRound.from_dict(step) for step in record.extra["rounds"])
            verdicts = {verdict.id: verdict for verdict in record.principles if _agree(verdict)}
            own, first = verdicts.get(made.principle), float(record.chosen_index == 0)
            if own is not None and own.p is not None and (own.p > 0.5) == (first > 0.5):
                verdicts[made.principle] = replace(own, p=first)
                yield replace(record, principles=tuple(verdicts.values()))


def _agree(verdict: PrincipleVerdict) -> bool:
    """Whether both orders name the same winner."""
    return verdict.p is not None and verdict.gap is not None and abs(verdict.p - 0.5) > abs(verdict.gap) / 2
