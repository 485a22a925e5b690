"""A training run: from what the user asked for to a folder with a model."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import time
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, set_seed

from rlaif.config_file import shown, write_config
from rlaif.data.push import check_hub, push
from rlaif.data.run_folder import TRAINED, RunFolder
from rlaif.data.write import JsonlWriter, atomic_write
from rlaif.errors import RunFailed, UsageError
from rlaif.models.load import Base, find_base, last_layers, load, save, with_adapter
from rlaif.processes import on_main, processes, together
from rlaif.progress import Progress
from rlaif.report.page import write_report
from rlaif.settings import resumable
from rlaif.tracking import chosen
from rlaif.train.arguments import arguments, callbacks
from rlaif.train.card import model_card
from rlaif.train.config import TrainConfig
from rlaif.train.data import Data, read_data, split
from rlaif.train.items import Encoder, digest
from rlaif.train.loop import FeedbackTrainer, last_checkpoint
from rlaif.train.predict import KEY
from rlaif.train.reference import with_reference
from rlaif.train.reward_model import normalisation


def run_train(config: TrainConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Train, write the model to ``config.out / "model"``, and return the content of ``run.json``.

    The same call continues a run that was stopped from its last checkpoint, and leaves one that is finished as it is. Where
    several processes were launched, they are one run: each calls this, and the main one alone writes and raises.

    Raises UsageError before anything is trained when the input cannot be used, RunFailed when training cannot go on; the
    last good checkpoint then stays in ``checkpoints/``.
    """
    main = processes().is_main_process
    progress = progress if progress and main else Progress()
    base, data = together(lambda: _read(config))
    facts = _facts(config, base, data)
    what = {"kind": "train", "method": config.method, "source": config.source, "base": base.identity}
    folder = RunFolder(config.out, what, config.overwrite, config)
    with ExitStack() as held:
        together(lambda: held.enter_context(folder) if main else None)
        before = on_main(lambda: _begun(config, folder, facts))
        if before.get("status") == "finished" and (config.out / "model" / "README.md").is_file():
            on_main(lambda: push(config.push_to_hub, config.out / "model", "model"))
            return before
        together(lambda: split(data, config, base))
        encoder = Encoder(base.tokenizer, base.context)
        samples = together(lambda: config.loss.scale(data.items, encoder, config.seed))
        facts["data"] = data.facts()
        on_main(lambda: _begin(config, folder, facts, data))
        started = time.monotonic()
        try:
            model, metrics = _train(config, base, data, progress)
            if model is not None:
                metrics |= config.loss.finish(model, data.held_out, base.pad)
            if samples and model is not None:
                scale = normalisation(model, samples, base.pad)
                setattr(model.config, KEY, {"context": base.context, **scale})
        except (RunFailed, torch.OutOfMemoryError) as error:
            if not main and isinstance(error, RunFailed):
                raise SystemExit(0) from None  # all processes stop for it, and the main one says so
            raise _failed(config, folder, facts, error) from error
        progress.stage("save", 1, 0)
        timings = {"train_seconds": round(time.monotonic() - started, 3)}
        run = on_main(lambda: _saved(config, base, model, folder, {**facts, "metrics": metrics, "timings": timings}))
        progress.update(1, {})
        on_main(lambda: push(config.push_to_hub, config.out / "model", "model"))
        return run


def _read(config: TrainConfig) -> tuple[Base, Data]:
    _check_installed(config)
    base = find_base(
        config.model, config.loss.model, config.context, config.precision, config.trust_remote_code, chat=config.loss.prefers()
    )
    return base, read_data(config, base)


def _train(config: TrainConfig, base: Base, data: Data, progress: Progress) -> tuple[Any, dict[str, float]]:
    """The trained model (the best by held-out loss, where there is one; the main process's alone is whole) and its metrics."""
    loss = config.loss
    load_model = partial(load, base, loss.model, low_precision=config.lora > 0, heads=loss.heads)
    set_seed(config.seed)  # a reward model's head and an adapter are drawn at random
    model = load_model(quantize=config.quantize)
    if loss.reference:
        _add_reference(config, base, data, model, progress)
    together(lambda: loss.check_model(model, config.model))
    model = _adapted(model, config)
    trainer = FeedbackTrainer(
        loss,
        data.items,
        data.held_out,
        config.batch_size,
        partial(loss.stack, pad=base.pad, context=base.context),
        model=model,
        args=arguments(config, base, len(data.items), bool(data.held_out)),
        callbacks=callbacks(config, progress),
    )
    trainer.remove_callback(PrinterCallback)
    resume = on_main(lambda: last_checkpoint(config.out / "checkpoints"))
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    metrics = trainer.evaluate() if data.held_out else {}
    trained = trainer.whole_model(lambda: _adapted(load_model(device=torch.device("cpu")), config))
    return trained, {"steps": trainer.state.global_step, **_closing(trainer.state.log_history), **metrics}


def _adapted(model: Any, config: TrainConfig) -> Any:
    others = last_layers(model, config.layers) if config.layers else None
    return with_adapter(model, config.loss.model, config.lora, others) if config.lora else model


def _saved(config: TrainConfig, base: Base, model: Any, folder: RunFolder, facts: dict[str, Any]) -> dict[str, Any]:
    save(model, base, config.out / "model")
    run = folder.write("finished", facts)
    with atomic_write(config.out / "model" / "README.md") as file:
        file.write(model_card(run, config.loss.title, config.loss.model))
    write_report(config.out)
    return run


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


def _check_installed(config: TrainConfig) -> None:
    chosen(config.track)
    check_hub(config.push_to_hub)
    if config.quantize != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError(f"--quantize {config.quantize}: bitsandbytes is not installed; pip install 'rlaif[quantize]'")
    spread = [name for name in ("FSDP", "DEEPSPEED") if os.environ.get(f"ACCELERATE_USE_{name}") == "true"]
    if config.quantize != "none" and spread:
        raise UsageError(f"--quantize {config.quantize}: weights in 4 bits are not spread over devices; launch with torchrun")


def _begun(config: TrainConfig, folder: RunFolder, facts: dict[str, Any]) -> dict[str, Any]:
    """``run.json`` of the run that this one continues, empty where it begins."""
    digest = facts["data"]["digest"]
    then = folder.read().get("data", {}).get("digest", digest)
    same = [(f"other rows in {config.source}", then, digest)]
    return folder.continued(facts["config"], resumable(type(config)), TRAINED, same)


def _begin(config: TrainConfig, folder: RunFolder, facts: dict[str, Any], data: Data) -> None:
    folder.write("running", facts)
    write_config(config, config.out, f"train {config.method}")
    with JsonlWriter(config.out / "failures.jsonl") as failures:
        for failure in data.failures:
            failures.write(failure)


def _facts(config: TrainConfig, base: Base, data: Data) -> dict[str, Any]:
    return {
        "config": shown(config),
        "settings": asdict(config.loss),
        "learning_rate": config.rate,
        "context": base.context,
        "data": data.facts(),
        "labelled_by": _labelled_by(Path(config.source)),
        "seed": config.seed,
    }


def _labelled_by(source: Path) -> dict[str, Any] | None:
    """Critic and constitution of the run that the rows come from (its folder, or a file in it), and of rationales, how many
    of those that were written are among them."""
    folder = source if source.is_dir() else source.parent
    try:
        run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        constitution = {name: run["constitution"].get(name) for name in ("name", "version", "digest")}
        counts = {"rationales": run["rationales"]} if "rationales" in run else {}
        return {"critic": run["critic"], "constitution": constitution, **counts}
    except (OSError, ValueError, KeyError):
        return None


def _failed(config: TrainConfig, folder: RunFolder, facts: dict[str, Any], error: Exception) -> RunFailed:
    text = "out of memory; lower --micro-batch or --context" if isinstance(error, torch.OutOfMemoryError) else str(error)
    kept = last_checkpoint(config.out / "checkpoints")
    message = f"{text} (last good checkpoint: {kept or 'none yet'})"
    folder.write("failed", {**facts, "error": message})
    return RunFailed(message)
