"""Best-of-n, or rejection sampling: sample n responses, keep the one that a critic or a reward model likes best, fine-tune.

Source: Llama 2 (arXiv 2307.09288), section 3.2.3; the bound on the KL from Gao et al. (arXiv 2210.10760).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from rlaif.data.exports import standings, write_export
from rlaif.data.read import read_rows
from rlaif.data.records import FailureRecord, ScoreRecord, read_records
from rlaif.data.rows import Row
from rlaif.data.write import JsonlWriter
from rlaif.engines.base import FailureReason
from rlaif.errors import RunFailed
from rlaif.progress import Progress
from rlaif.train.feedback import BestOfN, RoundsConfig
from rlaif.train.predict import RewardModel
from rlaif.train.rounds import Judged, Round, label_round, labelled_by, run_rounds


def kl_bound(n: int) -> float:
    """The most, in nats, that the best of ``n`` samples is away from the policy they are drawn from: log n − (n − 1)/n.

    KL(best-of-n ‖ policy) is at most this, for any way to rank. Source: Gao et al. 2022, arXiv 2210.10760.
    """
    return math.log(n) - (n - 1) / n


def run_best_of_n(config: RoundsConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Best-of-n as ``config`` says, in rounds if it says so; see ``run_rounds``.

    ``metrics`` of what it returns, and of each round: ``kl_bound``, ``best_score`` and ``mean_score`` (of the kept responses,
    and of all that have a score), ``unscored`` (responses without a score) beside those of the fine-tuning.
    """
    return run_rounds(config, _keep_best, progress)


def _keep_best(config: RoundsConfig, this: Round, progress: Progress) -> Judged:
    """Score the samples into ``label/scores.jsonl``, and write the best of each prompt to ``label/sft.jsonl``."""
    folder, feedback = this.folder / "label", config.feedback
    assert isinstance(feedback, BestOfN)
    if feedback.reward_model:
        folder.mkdir(parents=True, exist_ok=True)
        by = _score(this.samples, folder, feedback, config.train.trust_remote_code, progress)
    else:
        by = labelled_by(label_round(config, this, progress, "score"))
    _list_unscored(this.samples, folder / "scores.jsonl", this.folder / "failures.jsonl")
    write_export("sft", folder)
    return Judged(folder / "sft.jsonl", _metrics(this.samples, folder / "scores.jsonl", feedback.drawing.samples), by)


def _score(samples: Path, folder: Path, feedback: BestOfN, trusted: bool, progress: Progress) -> dict[str, Any]:
    """The reward model's scores of all responses, as the records that a labelling run in score mode writes."""
    assert feedback.reward_model
    model = RewardModel(feedback.reward_model, feedback.prediction, trust_remote_code=trusted)
    rows = _rows(samples)
    progress.stage("score", sum(1 for _ in _rows(samples)), 0)
    with JsonlWriter(folder / "scores.jsonl") as scores, JsonlWriter(folder / "failures.jsonl") as failures:
        for done, row in enumerate(rows, 1):
            texts = [response.turns[0]["content"] for response in row.responses]
            for index, score in enumerate(model.scores([row.conversation] * len(texts), texts).tolist()):
                if math.isnan(score):
                    detail = f"the reward model cannot score response {index}"
                    reason = str(FailureReason.TOO_LONG)
                    failures.write(FailureRecord(row=row.number, id=row.id, pair=(index,), reason=reason, detail=detail))
                    continue
                scores.write(
                    ScoreRecord(
                        id=f"{row.id}:{index}",
                        prompt=row.conversation,
                        response=row.responses[index].turns,
                        score=score,
                        critic=model.identity,
                        row=row.number,
                        index=index,
                    )
                )
            progress.update(done, {})
    return {"reward_model": model.identity}


def _list_unscored(samples: Path, scores: Path, failures: Path) -> None:
    """The prompts of whose responses none has a score. Raises RunFailed when that is all of them."""
    scored = {record.row for record in read_records(scores, ScoreRecord)}
    with JsonlWriter(failures) as listed:
        for row in _rows(samples):
            if row.number not in scored:
                detail = f"none of its {len(row.responses)} responses has a score; label/failures.jsonl has the reasons"
                listed.write(FailureRecord(row=row.number, id=row.id, reason=str(FailureReason.BAD_ROW), detail=detail))
    if not scored:
        raise RunFailed(f"no response has a score; {failures} has the reasons")


def _metrics(samples: Path, scores: Path, n: int) -> dict[str, float]:
    rows = [[response.value for response in row.responses] for row in standings(read_records(scores, ScoreRecord))]
    every = [value for values in rows for value in values]
    return {
        "kl_bound": kl_bound(n),
        "best_score": fmean(values[0] for values in rows),
        "mean_score": fmean(every),
        "prompts": len(rows),
        "unscored": n * sum(1 for _ in _rows(samples)) - len(every),
    }


def _rows(samples: Path) -> Iterator[Row]:
    """The rows of a file that ``sample_rows`` wrote: none of them is bad."""
    return (row for row in read_rows(str(samples)) if isinstance(row, Row))
