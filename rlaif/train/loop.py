"""The training loop: ``transformers.Trainer`` with our losses and order of rows, and a stop at numbers that are not finite."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from rlaif.config_file import shown
from rlaif.data.write import atomic_write, disk_trouble, dumps
from rlaif.errors import RunFailed
from rlaif.models.load import whole
from rlaif.progress import Progress
from rlaif.tracking import Tracker
from rlaif.train.batches import Batch, LengthGrouped, MicroBatches, deal
from rlaif.train.config import TrainConfig
from rlaif.train.items import Item
from rlaif.train.losses import kto_baseline
from rlaif.train.methods.base import Loss
from rlaif.train.objectives import Step


class FeedbackTrainer(Trainer):
    """A Trainer of items.

    A step's loss is divided by the rows of its whole batch (``loss.by_token``: by their response tokens), so that how the
    batch is cut into forward passes and dealt to processes changes memory and speed, and not the result.

    batch_size: rows per step, over all processes. stack: items as a batch.
    """

    def __init__(
        self,
        loss: Loss,
        items: Sequence[Item],
        held_out: Sequence[Item],
        batch_size: int,
        stack: Callable[[Sequence[Item]], Batch],
        **options: Any,
    ) -> None:
        def collator(rows: Sequence[Item]) -> dict[str, Any]:
            return (stack(rows) if rows else stack(items[:1])._replace(counted=0))._asdict()

        super().__init__(data_collator=collator, train_dataset=items, eval_dataset=held_out or None, **options)
        self._loss, self._batch_size = loss, batch_size
        self._watched: dict[str, float] = defaultdict(float)
        # Says to the Trainer that compute_loss has divided by the batch's items, whatever the model itself takes.
        self.model_accepts_loss_kwargs = True

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        batch = Batch(**inputs)
        step = self._loss.step(model, batch)
        self._watch(self._watched, batch, step)
        # Gradients are averaged over processes, and this process's rows are a part of the count.
        return step.total * (bool(batch.counted) * self.accelerator.num_processes / num_items_in_batch)  # type: ignore[no-any-return]

    def _run_epoch(self, *args: Any, **given: Any) -> None:
        # A run that was stopped after its last step would be given one more by Trainer, when that is not the end of an epoch.
        if self.state.global_step < self.state.max_steps:
            super()._run_epoch(*args, **given)  # type: ignore[no-untyped-call]

    def _save_checkpoint(self, *args: Any, **given: Any) -> None:
        try:
            super()._save_checkpoint(*args, **given)
        except Exception as error:  # each library that writes a part of it has errors of its own
            folder = Path(self.args.output_dir or "") / f"checkpoint-{self.state.global_step}"
            if trouble := disk_trouble(error, folder):
                raise RunFailed(trouble) from error
            raise

    def training_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        loss = super().training_step(model, inputs, num_items_in_batch)
        total = self.accelerator.reduce(loss.detach(), "mean")  # so that all processes stop, or none
        if not total.isfinite():
            raise RunFailed(f"the loss is {total.item()} at step {self.state.global_step + 1}; try a lower --learning-rate")
        if self.is_deepspeed_enabled and self.accelerator.sync_gradients:  # it keeps gradients to itself, and has stepped
            engine: Any = self.model_wrapped
            _check_norm(torch.as_tensor(engine.get_global_grad_norm() or 0.0), self.state.global_step + 1)
        return loss

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: Any) -> tuple[list[dict[str, Any]], Any]:
        samples, count = super().get_batch_samples(epoch_iterator, num_batches, device)
        return self._with_baseline(samples), count

    def get_train_dataloader(self) -> DataLoader[Any]:
        items: Sequence[Item] = self.train_dataset  # type: ignore[assignment]
        order = LengthGrouped([item.length for item in items], self._batch_size, self.args.seed)
        state = self.accelerator
        own = MicroBatches(order, self._batch_size, self.args.train_batch_size, state.process_index, state.num_processes)
        pin = self.args.dataloader_pin_memory
        return DataLoader(items, batch_sampler=own, collate_fn=self.data_collator, pin_memory=pin)  # type: ignore[arg-type]

    @torch.no_grad()
    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """The held-out items' mean loss and metrics, over rows (over tokens for sft)."""
        self.model.eval()  # type: ignore[union-attr]
        items: Any = self.eval_dataset
        state = self.accelerator
        own = deal(range(len(items)), self.args.eval_batch_size, state.process_index, state.num_processes)
        samples: list[Any] = [self.data_collator([items[index] for index in rows]) for rows in own]
        sums: dict[str, float] = defaultdict(float)
        for inputs in self._with_baseline(samples):
            batch = self._batch(inputs)
            with self.compute_loss_context_manager():
                step = self._loss.step(self.model, batch)
            self._watch(sums, batch, step)
            sums["loss"] += step.total.item() * bool(batch.counted)
            sums["count"] += self._count(inputs)
        sums = self._over_processes(sums)
        loss, rows = sums.pop("loss") / sums.pop("count"), sums.pop("rows")
        metrics = {f"{metric_key_prefix}_{name}": value / rows for name, value in sums.items()}
        metrics[f"{metric_key_prefix}_loss"] = loss
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def whole_model(self, rebuild: Callable[[], Any]) -> Any:
        """The model as one that can be saved; None but in the main process where it is spread over several.

        rebuild: makes an ordinary model of the same form, on the CPU.
        """
        plugin = self.accelerator.state.deepspeed_plugin
        spread = self.is_fsdp_enabled or (plugin is not None and plugin.zero_stage == 3)
        if not spread and not getattr(self.model, "is_quantized", False):
            return self.model
        if self.is_fsdp_enabled:
            model: Any = self.model
            weights: Any = get_model_state_dict(model, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        else:
            weights = self.accelerator.get_state_dict(self.model_wrapped)
        if not self.accelerator.is_main_process:
            return None
        unset_hf_deepspeed_config()  # or what is rebuilt would be spread too
        return whole(self.model, weights, rebuild())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            sums = self._over_processes(self._watched)
            rows = sums.pop("rows")
            logs = {**logs, **{name: value / rows for name, value in sums.items()}}
            self._watched.clear()
        super().log(logs, start_time)

    def _get_num_items_in_batch(self, batch_samples: list[dict[str, Any]], device: Any) -> Tensor | None:
        if not batch_samples:
            return None
        return self.accelerator.reduce(torch.tensor(sum(map(self._count, batch_samples)), device=device), "sum")  # type: ignore[no-any-return]

    def _count(self, inputs: dict[str, Any]) -> int:
        return int(inputs["response"].sum()) * bool(inputs["counted"]) if self._loss.by_token else inputs["counted"]

    @torch.no_grad()
    def _with_baseline(self, samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Batches of one step, of all processes, with the method's baseline over all of them."""
        if not self._loss.baseline or not samples:
            return samples
        total = torch.zeros(2, device=self.args.device)
        for inputs in samples:
            batch = self._batch(inputs)
            ratios = self._loss.log_ratios(self.model, batch)[: batch.counted]
            total += torch.stack([ratios.sum(), ratios.new_tensor(batch.counted)])
        total = self.accelerator.reduce(total, "sum")
        baseline = kto_baseline(total[:1] / total[1:], torch.zeros_like(total[:1]))
        return [{**inputs, "baseline": baseline} for inputs in samples]

    def _batch(self, inputs: dict[str, Any]) -> Batch:
        here: dict[str, Any] = self._prepare_inputs(inputs)
        return Batch(**here)

    def _watch(self, sums: dict[str, float], batch: Batch, step: Step) -> None:
        for name, value in step.metrics.items():
            sums[name] += value.mean().item() * batch.counted
        sums["rows"] += batch.counted

    def _over_processes(self, sums: dict[str, float]) -> dict[str, float]:
        values = self.accelerator.reduce(torch.tensor([*sums.values()], dtype=torch.float64, device=self.args.device), "sum")
        return dict(zip(sums, values.tolist(), strict=True))


class Guard(TrainerCallback):
    """Stops before a step whose gradient is not finite: after it the weights would be lost, and might be saved."""

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        gradients = [parameter.grad for parameter in kwargs["model"].parameters() if parameter.grad is not None]
        norm: Any = torch.nn.utils.get_total_norm(gradients)
        _check_norm(norm.full_tensor() if hasattr(norm, "full_tensor") else norm, state.global_step + 1)


class MetricsCallback(TrainerCallback):
    """Keeps ``metrics.jsonl`` as long as the run's history, and tells the progress bar and what tracks the run."""

    def __init__(self, config: TrainConfig, progress: Progress) -> None:
        self._config, self._progress = config, progress
        self._last: dict[str, float] = {}
        self._tracker: Tracker | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._progress.stage("train", state.max_steps, state.global_step)
        self._tracker = Tracker(self._config.track, self._config.out, shown(self._config), state.global_step)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self._tracker:
            self._tracker.close()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._progress.update(state.global_step, self._last)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        figures = {name: value for name, value in state.log_history[-1].items() if isinstance(value, float)}
        self._last |= figures
        if self._tracker:
            self._tracker.log(state.global_step, figures)
        with atomic_write(self._config.out / "metrics.jsonl") as file:
            file.writelines(dumps(_finite(entry)) + "\n" for entry in state.log_history)


def _check_norm(norm: Tensor, step: int) -> None:
    if not norm.isfinite():
        raise RunFailed(f"the gradient is not finite at step {step}; try a lower --learning-rate")


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
