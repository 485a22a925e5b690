"""The training loop: ``transformers.Trainer`` with our losses and order of rows, and a stop at numbers that are not finite."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rlaif.data.write import atomic_write, dumps
from rlaif.errors import RunFailed
from rlaif.train.batches import Batch, LengthGrouped, collate
from rlaif.train.items import Item
from rlaif.train.objectives import Objective, Step


@dataclass
class Progress:
    """What to call as the run goes on. stage: (what is being done, how many there are to do, how many are done)."""

    stage: Callable[[str, int, int], None] = field(default=lambda name, total, done: None)
    update: Callable[[int, dict[str, float]], None] = field(default=lambda done, figures: None)


class FeedbackTrainer(Trainer):
    """A Trainer of items.

    A step's loss is divided by the rows of its whole batch (``per_token``: by their response tokens), so that how the batch
    is cut into forward passes changes memory and not the result.
    """

    def __init__(
        self,
        objective: Objective,
        items: Sequence[Item],
        held_out: Sequence[Item],
        pad: int,
        per_token: bool,
        **options: Any,
    ) -> None:
        super().__init__(
            data_collator=lambda rows: collate(rows, pad)._asdict(),
            train_dataset=items,
            eval_dataset=held_out or None,
            **options,
        )
        self._objective, self._per_token = objective, per_token
        self._watched: dict[str, list[float]] = defaultdict(list)
        # Says to the Trainer that compute_loss has divided by the batch's items, whatever the model itself takes.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        step = self._objective(model, Batch(**inputs))
        for name, value in step.metrics.items():
            self._watched[name].append(value.mean().item())
        return step.total / (self._count(inputs) if num_items_in_batch is None else num_items_in_batch)

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        if not loss.isfinite():
            raise RunFailed(f"the loss is {loss.item()} at step {self.state.global_step + 1}; try a lower --learning-rate")
        return loss

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: Any) -> Tensor | None:
        if not batch_samples:
            return None
        return torch.tensor(sum(map(self._count, batch_samples)), device=device)

    def _count(self, inputs: dict[str, Any]) -> int:
        return int(inputs["response"].sum()) if self._per_token else len(inputs["p"])

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGrouped:
        items: Sequence[Item] = self.train_dataset  # type: ignore[assignment]
        rows = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return LengthGrouped([item.length for item in items], rows, self.args.seed)

    @torch.no_grad()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The held-out items' mean loss and metrics, over rows (over tokens for sft)."""
        self.model.eval()  # type: ignore[union-attr]
        loss, count, rows = 0.0, 0, 0
        sums: dict[str, float] = defaultdict(float)
        for inputs in self.get_eval_dataloader():
            with self.compute_loss_context_manager():
                step: Step = self._objective(self.model, Batch(**inputs))
            many = len(inputs["p"])
            loss, count, rows = loss + step.total.item(), count + self._count(inputs), rows + many
            for name, value in step.metrics.items():
                sums[name] += value.mean().item() * many
        metrics = {f"{metric_key_prefix}_{name}": value / rows for name, value in sums.items()}
        metrics[f"{metric_key_prefix}_loss"] = loss / count
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs = {**logs, **{name: sum(values) / len(values) for name, values in self._watched.items()}}
            self._watched.clear()
        super().log(logs, start_time)


class Guard(TrainerCallback):
    """Stops before a step whose gradient is not finite: after it the weights would be lost, and might be saved."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        gradients = [parameter.grad for parameter in kwargs["model"].parameters() if parameter.grad is not None]
        if not torch.nn.utils.get_total_norm(gradients).isfinite():
            raise RunFailed(f"the gradient is not finite at step {state.global_step + 1}; try a lower --learning-rate")


class Record(TrainerCallback):
    """Keeps ``metrics.jsonl`` as long as the run's history, and tells the progress bar."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self._path, self._progress = path, progress
        self._last: dict[str, float] = {}

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._progress.stage("train", state.max_steps, state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._progress.update(state.global_step, self._last)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._last |= {name: value for name, value in state.log_history[-1].items() if isinstance(value, float)}
        with atomic_write(self._path) as file:
            file.writelines(dumps(_finite(entry)) + "\n" for entry in state.log_history)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; the Trainer writes ``trainer_state.json`` last."""
    whole = []
    for state in folder.glob("checkpoint-*/trainer_state.json"):
        try:
            step = json.loads(state.read_text(encoding="utf-8"))["global_step"]
        except (ValueError, KeyError):
            continue
        whole.append((step, state.parent))
    return max(whole)[1] if whole else None


def _finite(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: None if isinstance(value, float) and value - value != 0 else value for name, value in entry.items()}
