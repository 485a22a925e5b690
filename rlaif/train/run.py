"""A training run: from what the user asked for to a folder with a model."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import shutil
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback, TrainingArguments, set_seed

from rlaif.data.run_folder import RunFolder
from rlaif.data.write import JsonlWriter, atomic_write
from rlaif.errors import RunFailed, UsageError, without_secrets
from rlaif.train import preference, reward_model
from rlaif.train.card import model_card
from rlaif.train.config import NOT_THE_RUN, REFERENCE, Reward, TrainConfig
from rlaif.train.data import Data, read_data, split
from rlaif.train.items import digest
from rlaif.train.loop import FeedbackTrainer, Guard, Progress, Record, last_checkpoint
from rlaif.train.models import Base, find_base, load, save, with_adapter
from rlaif.train.reference import with_reference

LOGS, CHECKPOINTS = 100, 10
"""About how many entries of ``metrics.jsonl`` a run writes, and how many checkpoints (of which it keeps two)."""
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def run_train(config: TrainConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Train, write the model to ``config.out / "model"``, and return the content of ``run.json``.

    The same call continues a run that was stopped from its last checkpoint, and leaves one that is finished as it is.

    Raises UsageError before anything is trained when the input cannot be used, RunFailed when training cannot go on; the
    last good checkpoint then stays in ``checkpoints/``.
    """
    progress = progress or Progress()
    _check_tracker(config)
    base = find_base(config.model, config.method, config.context, config.precision, config.trust_remote_code)
    data = read_data(config, base)
    facts = _facts(config, base, data)
    what = {"kind": "train", "method": config.method, "source": config.source, "base": base.identity}
    with RunFolder(config.out, what, config.overwrite) as folder:
        before = _begun(config, folder, facts)
        if before.get("status") == "finished" and (config.out / "model" / "README.md").is_file():
            return before
        with JsonlWriter(config.out / "failures.jsonl") as failures:
            for failure in data.failures:
                failures.write(failure)
        split(data, config, base)
        facts["data"] = data.facts()
        folder.write("running", facts)
        started = time.monotonic()
        try:
            model, metrics = _train(config, base, data, progress)
        except (RunFailed, torch.OutOfMemoryError) as error:
            raise _failed(config, folder, facts, error) from error
        progress.stage("save", 1, 0)
        save(model, base, config.out / "model")
        progress.update(1, {})
        timings = {"train_seconds": round(time.monotonic() - started, 3)}
        run = folder.write("finished", {**facts, "metrics": metrics, "timings": timings})
        with atomic_write(config.out / "model" / "README.md") as file:
            file.write(model_card(run))
        return run


def _train(config: TrainConfig, base: Base, data: Data, progress: Progress) -> tuple[Any, dict[str, float]]:
    """The trained model (the best by held-out loss, where there is one) and its metrics."""
    set_seed(config.seed)  # a reward model's head and an adapter are drawn at random
    model = load(base, config.method, low_precision=config.lora > 0)
    if config.method in REFERENCE:
        _add_reference(config, base, data, model, progress)
    if config.lora:
        model = with_adapter(model, config.method, config.lora)
    settings = config.settings
    trainer = FeedbackTrainer(
        reward_model.objective(settings) if isinstance(settings, Reward) else preference.objective(settings),
        data.items,
        data.held_out,
        base.pad,
        per_token=config.method == "sft",
        model=model,
        args=_arguments(config, base, len(data.items), bool(data.held_out)),
        callbacks=_callbacks(config, progress),
    )
    trainer.remove_callback(PrinterCallback)
    resume = last_checkpoint(config.out / "checkpoints")
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    metrics = trainer.evaluate() if data.held_out else {}
    return model, {"steps": trainer.state.global_step, **_closing(trainer.state.log_history), **metrics}


def _closing(history: list[dict[str, float]]) -> dict[str, float]:
    """The training metrics, each the mean over the last tenth of what was logged: one step's rows alone are few."""
    steps = [entry for entry in history if "loss" in entry]
    last = steps[-max(1, len(steps) // 10) :]
    names = [name for name in last[-1] if name not in ("epoch", "step", "learning_rate", "grad_norm")]
    return {name: sum(entry[name] for entry in last) / len(last) for name in names}


def _add_reference(config: TrainConfig, base: Base, data: Data, model: Any, progress: Progress) -> None:
    """The model is still the base here, without an adapter: it is its own reference."""
    both = [*data.items, *data.held_out]
    progress.stage("reference", len(both), 0)
    key = hashlib.sha256(f"{digest(both)} {base.identity} {model.dtype} autocast={base.bf16}".encode()).hexdigest()[:16]
    with torch.autocast(model.device.type, torch.bfloat16) if base.bf16 else nullcontext():
        cache = config.out / f"reference-{key}.safetensors"
        both = with_reference(both, cache, model, base.pad, lambda done: progress.update(done, {}))
    data.items, data.held_out = both[: len(data.items)], both[len(data.items) :]


def _arguments(config: TrainConfig, base: Base, rows: int, evaluates: bool) -> TrainingArguments:
    steps = config.max_steps or math.ceil(math.ceil(rows / config.batch_size) * config.epochs)
    every = config.save_every or max(1, math.ceil(steps / CHECKPOINTS))
    arguments = TrainingArguments(
        output_dir=str(config.out / "checkpoints"),
        per_device_train_batch_size=config.micro_batch,
        per_device_eval_batch_size=config.micro_batch,
        gradient_accumulation_steps=config.batch_size // config.micro_batch,
        num_train_epochs=config.epochs,
        max_steps=config.max_steps or -1,
        learning_rate=config.rate,
        lr_scheduler_type=SCHEDULES[config.schedule],
        warmup_steps=math.ceil(config.warmup * steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        bf16=base.bf16,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=config.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if config.gradient_checkpointing else None,
        logging_steps=max(1, steps // LOGS),
        logging_nan_inf_filter=False,
        save_steps=every,
        save_total_limit=2,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=every,
        load_best_model_at_end=evaluates,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        restore_callback_states_from_checkpoint=config.patience > 0,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="wandb" if config.report_to == "wandb" else "none",
        run_name=config.out.name,
        seed=config.seed,
        disable_tqdm=True,
    )
    arguments._n_gpu = min(1, arguments.n_gpu)  # several GPUs in one process would be DataParallel, which splits our batches
    return arguments


def _callbacks(config: TrainConfig, progress: Progress) -> list[TrainerCallback]:
    found: list[TrainerCallback] = [Guard(), Record(config.out / "metrics.jsonl", progress)]
    if config.patience:
        found.append(EarlyStoppingCallback(config.patience))
    if config.report_to == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter
        from transformers.integrations.integration_utils import TensorBoardCallback

        found.append(TensorBoardCallback(SummaryWriter(str(config.out / "tensorboard"))))
    return found


def _check_tracker(config: TrainConfig) -> None:
    if config.report_to != "none" and importlib.util.find_spec(config.report_to) is None:
        raise UsageError(f"--report-to {config.report_to}: not installed; pip install {config.report_to}")


def _begun(config: TrainConfig, folder: RunFolder, facts: dict[str, Any]) -> dict[str, Any]:
    """``run.json`` of the run that this one continues, empty where it begins. Raises UsageError where what is in the folder is
    not this run's: its settings or its rows are other ones."""
    there = [config.out / name for name in ("checkpoints", "model", "tensorboard") if (config.out / name).exists()]
    if config.overwrite:
        for path in there:
            shutil.rmtree(path)
        return {}
    before = folder.read()
    if not before:
        if there:  # whoever made it, it was not a run: nothing of it may be deleted or taken for a checkpoint
            raise UsageError(f"{there[0]} is there already, and of no run; give another --out, or --overwrite to replace it")
        return {}
    then, now = before.get("config", {}), facts["config"]
    other = next((name for name in now if name not in NOT_THE_RUN and then.get(name) != now[name]), None)
    if other:
        found = f"{other.replace('_', '-')} {then.get(other)!r}, not {now[other]!r}"
    elif before.get("data", {}).get("digest", facts["data"]["digest"]) != facts["data"]["digest"]:
        found = f"other rows in {config.source}"
    else:
        return before
    raise UsageError(f"{config.out} holds a run with {found}; give another --out, or --overwrite to replace it")


def _facts(config: TrainConfig, base: Base, data: Data) -> dict[str, Any]:
    shown = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(config).items()}
    return {
        "config": {**shown, "source": without_secrets(config.source)},
        "learning_rate": config.rate,
        "context": base.context,
        "data": data.facts(),
        "labelled_by": _labelled_by(Path(config.source)),
        "seed": config.seed,
    }


def _labelled_by(source: Path) -> dict[str, Any] | None:
    """Critic and constitution of the label run that the rows come from."""
    try:
        run = json.loads((source / "run.json").read_text(encoding="utf-8"))
        constitution = {name: run["constitution"].get(name) for name in ("name", "version", "digest")}
        return {"critic": run["critic"], "constitution": constitution}
    except (OSError, ValueError, KeyError):
        return None


def _failed(config: TrainConfig, folder: RunFolder, facts: dict[str, Any], error: Exception) -> RunFailed:
    text = "out of memory; lower --micro-batch or --context" if isinstance(error, torch.OutOfMemoryError) else str(error)
    kept = last_checkpoint(config.out / "checkpoints")
    message = f"{text} (last good checkpoint: {kept or 'none yet'})"
    folder.write("failed", {**facts, "error": message})
    return RunFailed(message)
