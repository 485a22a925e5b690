"""What ``transformers.Trainer`` is told of a run, and the callbacks that it is given."""

from __future__ import annotations

import math

import torch
from transformers import EarlyStoppingCallback, TrainerCallback, TrainingArguments

from rlaif.models.load import Base
from rlaif.processes import processes
from rlaif.progress import Progress
from rlaif.train.config import TrainConfig
from rlaif.train.loop import Guard, MetricsCallback

LOGS, CHECKPOINTS = 100, 10
"""About how many entries of ``metrics.jsonl`` a run writes, and how many checkpoints (of which it keeps two)."""
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}


def arguments(config: TrainConfig, base: Base, rows: int, evaluates: bool) -> TrainingArguments:
    """rows: to train on. evaluates: whether some are held out."""
    passes = math.ceil(config.batch_size / (config.rows_per_pass * processes().num_processes))
    steps = config.max_steps or math.ceil(math.ceil(rows / config.batch_size) * config.epochs)
    every = config.save_every or max(1, math.ceil(steps / CHECKPOINTS))
    found = TrainingArguments(
        output_dir=str(config.out / "checkpoints"),
        per_device_train_batch_size=config.rows_per_pass,
        per_device_eval_batch_size=config.rows_per_pass,
        gradient_accumulation_steps=passes,
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
        report_to="none",
        run_name=config.out.name,
        seed=config.seed,
        disable_tqdm=True,
    )
    found._n_gpu = min(1, found.n_gpu)  # several GPUs in one process would be DataParallel, which splits our batches
    return found


def callbacks(config: TrainConfig, progress: Progress) -> list[TrainerCallback]:
    """What watches over a run, and writes its metrics."""
    watchers: list[TrainerCallback] = [Guard(), MetricsCallback(config, progress)]
    if config.patience:
        watchers.append(EarlyStoppingCallback(config.patience))
    return watchers
