"""Training on the model's own samples, in rounds: sample with the current model → judge → train it → again.

Source: iterated DPO (arXiv 2312.16682; the reference policy is the model that the round began with), and rejection sampling in
rounds, as in Llama 2 (arXiv 2307.09288, section 3.2).
"""

from __future__ import annotations

import gc
import hashlib
import json
import shutil
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rlaif.config_file import shown, write_config
from rlaif.critic.pairs import check_pairs
from rlaif.data.push import check_hub, push
from rlaif.data.read import named_columns, read_rows
from rlaif.data.rows import BadRow, Row
from rlaif.data.run_folder import TRAINED, RunFolder
from rlaif.engines.identity import resolve
from rlaif.engines.open import model_path
from rlaif.errors import RunFailed, UsageError, without_secrets
from rlaif.label.config import LabelConfig
from rlaif.label.run import run_label
from rlaif.models.load import find_base
from rlaif.processes import processes
from rlaif.progress import Progress
from rlaif.report.page import write_report
from rlaif.sample.config import SampleConfig
from rlaif.sample.run import sample_rows
from rlaif.settings import resumable
from rlaif.train.card import model_card
from rlaif.train.feedback import BestOfN, RoundsConfig
from rlaif.train.run import run_train

OURS = (*TRAINED, "label", "train", "round-*", "samples*.jsonl")
"""What ``--overwrite`` removes from a run's folder."""


class Round(NamedTuple):
    """number: from 1. folder: where the round's samples, labels and training go. model: what it begins with."""

    number: int
    folder: Path
    model: str
    seed: int

    @property
    def samples(self) -> Path:
        """Rows with the model's responses."""
        return self.folder / "samples.jsonl"


class Judged(NamedTuple):
    """source: what the round's training reads. metrics: of the judging. labelled_by: who judged, for the model card."""

    source: Path
    metrics: dict[str, float]
    labelled_by: dict[str, Any]


JudgeSamples = Callable[[RoundsConfig, Round, Progress], Judged]


def run_preference_rounds(config: RoundsConfig, progress: Progress | None = None) -> dict[str, Any]:
    """``run_rounds`` for the methods that learn from pairs, and kto: the critic compares each prompt's samples."""
    return run_rounds(config, _compare, progress)


def run_rounds(config: RoundsConfig, judge: JudgeSamples, progress: Progress | None = None) -> dict[str, Any]:
    """Run the rounds, put the last model at ``OUT/model``, and return the content of ``run.json``.

    Of R rounds, round r samples from rows r, r + R, r + 2R, … of the prompts, so that each prompt is used once. The same call
    continues a run that was stopped, in whatever stage, and ends in the same files.

    Raises UsageError before anything is sampled when the input cannot be used, RunFailed when a stage cannot go on.
    """
    if processes().num_processes > 1:
        raise UsageError("best-of-n and --rounds run in one process; launch several for one stage (sample, label, train) alone")
    progress, train = progress or Progress(), config.train
    check_hub(train.push_to_hub)
    base = find_base(
        train.model, train.loss.model, train.context, train.precision, train.trust_remote_code, chat=train.loss.prefers()
    )
    rows, plan = list(read_rows(train.source, train.limit, named_columns(train.columns))), _plan(config)
    _check(config, rows)
    what = {"kind": "rounds", "method": config.method, "source": train.source, "base": base.identity}
    facts: dict[str, Any] = {"config": shown(config), "prompts": _digest(rows), "seed": train.seed}
    with RunFolder(train.out, what, train.overwrite, config) as folder:
        then = folder.read().get("prompts", facts["prompts"])
        same = [(f"other rows in {train.source}", then, facts["prompts"])]
        before = folder.continued(facts["config"], resumable(type(config)), OURS, same)
        if before.get("status") == "finished" and (train.out / "model" / "README.md").is_file():
            push(train.push_to_hub, train.out / "model", "model")
            return before
        done: list[dict[str, Any]] = before.get("rounds", [])
        facts["rounds"] = done
        folder.write("running", facts)
        write_config(config, train.out, f"train {config.method}")
        try:
            for this in plan:
                at = this.number - 1
                bar = progress.within(f"{this.number}/{len(plan)}") if len(plan) > 1 else progress
                if len(done) == at:
                    done.append(_judged(config, this, rows[at :: len(plan)], judge, bar))
                    folder.write("running", facts)
                if "model" not in done[at]:
                    done[at] = _trained(config, this, done[at], bar)
                    folder.write("running", facts)
        except RunFailed as error:
            folder.write("failed", {**facts, "error": without_secrets(str(error))})
            raise
        run = folder.write("finished", {**facts, "metrics": done[-1]["metrics"]})
        _publish(config, Path(done[-1]["model"]), run)
        push(train.push_to_hub, train.out / "model", "model")
        return run


def round_seed(seed: int, number: int) -> int:
    """The seed of a round's draws and of its order of rows: the run's own in the first round, others after it."""
    return seed if number == 1 else zlib.crc32(f"{seed} round {number}".encode())


def label_round(config: RoundsConfig, this: Round, progress: Progress, mode: str) -> dict[str, Any]:
    """Have the critic judge a round's samples, into ``label`` in the round's folder; returns that run's ``run.json``."""
    critic = replace(config.feedback.critic, mode=mode, seed=this.seed)
    label = LabelConfig(source=str(this.samples), critic=critic, out=this.folder / "label", pairs=config.feedback.pairs)
    run = run_label(label, progress)
    _free()
    return run


def labelled_by(run: dict[str, Any]) -> dict[str, Any]:
    """A labelling run's critic and constitution, as a model card names them."""
    return {
        "critic": run["critic"],
        "constitution": {name: run["constitution"][name] for name in ("name", "version", "digest")},
    }


def _compare(config: RoundsConfig, this: Round, progress: Progress) -> Judged:
    run = label_round(config, this, progress, "compare")
    metrics = {"pairs": run["counts"]["rows_out"], "verdicts_failed": run["counts"]["failed"]}
    return Judged(this.folder / "label", metrics, labelled_by(run))


def _plan(config: RoundsConfig) -> list[Round]:
    """All rounds; each begins with the model of the one before."""
    train, plan = config.train, list[Round]()
    for number in range(1, (config.feedback.rounds or 1) + 1):
        folder = train.out if config.feedback.rounds is None else train.out / f"round-{number}"
        model = str(plan[-1].folder / "train" / "model") if plan else train.model
        plan.append(Round(number, folder, model, round_seed(train.seed, number)))
    return plan


def _judged(
    config: RoundsConfig, this: Round, rows: Sequence[Row | BadRow], judge: JudgeSamples, progress: Progress
) -> dict[str, Any]:
    """Sample and judge: the round's entry in ``run.json``, as far as it goes before training."""
    feedback = config.feedback
    sample = SampleConfig(
        source=config.train.source,
        model=this.model,
        out=this.samples,
        seed=this.seed,
        drawing=feedback.drawing,
        store=feedback.critic.store,
    )
    counts = sample_rows(rows, len(rows), sample, progress)
    _free()
    judged = judge(config, this, progress)
    return {
        "round": this.number,
        "seed": this.seed,
        "sampled": counts,
        "source": str(judged.source),
        "labelled_by": judged.labelled_by,
        "metrics": judged.metrics,
    }


def _trained(config: RoundsConfig, this: Round, entry: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The round's entry with its training: on what was judged, from the model that was sampled."""
    train = replace(
        config.train,
        source=entry["source"],
        columns=None,
        model=this.model,
        out=this.folder / "train",
        seed=this.seed,
        limit=None,
        overwrite=False,
        push_to_hub="",
    )
    run = run_train(train, progress)
    _free()
    return {**entry, "metrics": {**entry["metrics"], **run["metrics"]}, "model": str(train.out / "model")}


def _publish(config: RoundsConfig, model: Path, run: dict[str, Any]) -> None:
    """A copy of ``model`` at ``OUT/model``, whole or not at all, with a card that speaks of all the rounds."""
    last = json.loads((model.parent / "run.json").read_text(encoding="utf-8"))
    settings = {**last["settings"], "samples": config.feedback.drawing.samples, "rounds": len(run["rounds"])}
    card = model_card(
        {
            **last,
            **{name: run[name] for name in ("method", "source", "base", "command", "metrics")},
            "labelled_by": run["rounds"][-1]["labelled_by"],
            "settings": settings,
        },
        "best-of-n sampling and fine-tuning" if isinstance(config.feedback, BestOfN) else config.train.loss.title,
        config.train.loss.model,
    )
    copy, final = config.train.out / ".model.tmp", config.train.out / "model"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(model, copy)
    (copy / "README.md").write_text(card, encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    copy.rename(final)
    write_report(config.train.out)


def _check(config: RoundsConfig, rows: Sequence[Row | BadRow]) -> None:
    """What would otherwise be found out after the first samples."""
    feedback = config.feedback
    feedback.check()
    check_pairs(feedback.pairs)
    if feedback.critic.models:
        feedback.critic.inputs()
    reward_model = [feedback.reward_model] if isinstance(feedback, BestOfN) and feedback.reward_model else []
    for model in (*feedback.critic.models, *reward_model):
        if not model.startswith(("script:", "http://", "https://")):
            resolve(model_path(model), config.train.trust_remote_code)
    usable = sum(isinstance(row, Row) for row in rows)
    if usable < (feedback.rounds or 1):
        raise UsageError(
            f"{config.train.source}: {usable} prompts for {feedback.rounds} rounds; each round takes its own share"
        )


def _digest(rows: Sequence[Row | BadRow]) -> str:
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _free() -> None:
    """Give back the GPU's memory that the stage's model held: the next stage's model needs it."""
    if torch.cuda.is_available():
        gc.collect()
        torch.cuda.empty_cache()
