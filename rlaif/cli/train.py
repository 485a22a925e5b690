"""``rlaif train``: a reward model or a policy from preferences, whoever they are of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rlaif.train.config import DpoForm, Labels, Method, Precision, Schedule, Tracker, TrainConfig, settings_of

DATA, LOSS, STEPS, DEVICE, OUTPUT = (
    "What to learn from",
    "The method's own settings",
    "How to train",
    "Memory and device",
    "Output",
)
COUNT = {"min": 1}


def _data(text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=DATA, **more)


def _loss(text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=LOSS, **more)


def _steps(text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=STEPS, **more)


def _device(text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=DEVICE, **more)


def _output(text: str, **more: Any) -> Any:
    return typer.Option(help=text, rich_help_panel=OUTPUT, **more)


def _flag(name: str, text: str, panel: str) -> Any:
    return typer.Option(name, help=text, rich_help_panel=panel)


def train(
    method: Annotated[Method, typer.Argument(help="sft, reward, dpo, ipo, kto, orpo, cpo or simpo.")],
    source: Annotated[str, typer.Argument(help="A label run's folder, or any file or dataset of rows (docs/train.md).")],
    model: Annotated[str, _data("What to train: a model's path or hub id, or lab:policy.")],
    out: Annotated[Path, _output("The run's folder; the model goes to OUT/model.")],
    labels: Annotated[Labels, _data("soft: the rows' probabilities; hard: the better one.")] = "soft",
    limit: Annotated[int | None, _data("Only the first so many rows.", **COUNT)] = None,
    context: Annotated[int | None, _data("Tokens of prompt and response, less than the model's.", min=16)] = None,
    eval_fraction: Annotated[float, _data("Share of the prompts to hold out.", min=0)] = 0.0,
    beta: Annotated[float | None, _loss("dpo kto cpo simpo: strength.")] = None,
    form: Annotated[DpoForm | None, _loss("dpo: soft, geometric or robust.")] = None,
    flip_rate: Annotated[float | None, _loss("dpo, robust form: share of labels that are wrong.")] = None,
    tau: Annotated[float | None, _loss("ipo: strength.")] = None,
    per_token: Annotated[bool | None, _loss("ipo: average log-ratios, or sum.")] = None,
    desirable: Annotated[float | None, _loss("kto: weight of desirable completions.")] = None,
    undesirable: Annotated[float | None, _loss("kto: weight of undesirable completions.")] = None,
    weight: Annotated[float | None, _loss("orpo: weight of the odds ratio.", min=0)] = None,
    alpha: Annotated[float | None, _loss("cpo: weight of the likelihood.", min=0)] = None,
    gamma: Annotated[float | None, _loss("simpo: margin.", min=0)] = None,
    margin: Annotated[float | None, _loss("reward: how many times the rows' margin to demand.", min=0)] = None,
    centre: Annotated[float | None, _loss("reward: pull of the scores to a mean of 0.", min=0)] = None,
    epochs: Annotated[float, _steps("Times to go over the rows.")] = 1.0,
    max_steps: Annotated[int | None, _steps("Steps, in place of epochs.", **COUNT)] = None,
    batch_size: Annotated[int, _steps("Rows per step.", **COUNT)] = 32,
    learning_rate: Annotated[float | None, _steps("Default: by method, tenfold with --lora.")] = None,
    schedule: Annotated[Schedule, _steps("After warm-up: linear, cosine or constant.")] = "linear",
    warmup: Annotated[float, _steps("Share of the steps.", min=0, max=1)] = 0.1,
    weight_decay: Annotated[float, _steps("AdamW's.", min=0)] = 0.0,
    max_grad_norm: Annotated[float, _steps("Clip gradients to this norm; 0 for not.", min=0)] = 1.0,
    patience: Annotated[int, _steps("Stop after so many evaluations without a better loss.", min=0)] = 0,
    seed: Annotated[int, _steps("For the order of rows, the held-out prompts and new weights.")] = 0,
    micro_batch: Annotated[int, _device("Rows per forward pass; memory only.", **COUNT)] = 4,
    lora: Annotated[int, _device("Train an adapter of this rank; 0: all weights.", min=0)] = 0,
    gradient_checkpointing: Annotated[bool, _flag("--gradient-checkpointing", "Less memory, more time.", DEVICE)] = False,
    precision: Annotated[Precision, _device("auto: bfloat16 where a GPU has it.")] = "auto",
    trust_remote_code: Annotated[bool, _flag("--trust-remote-code", "Run code that comes with the model.", DEVICE)] = False,
    save_every: Annotated[int | None, _output("Steps between checkpoints and evaluations.", **COUNT)] = None,
    report_to: Annotated[Tracker, _output("Also log to tensorboard or wandb.")] = "none",
    overwrite: Annotated[bool, _flag("--overwrite", "Start afresh in --out.", OUTPUT)] = False,
) -> None:
    """Train a model on preferences, soft labels included; write it as a Hugging Face folder.

    The same command continues a run that was stopped, from its last checkpoint, to the same weights.
    """
    own = {
        "beta": beta,
        "form": form,
        "flip_rate": flip_rate,
        "tau": tau,
        "per_token": per_token,
        "desirable": desirable,
        "undesirable": undesirable,
        "weight": weight,
        "alpha": alpha,
        "gamma": gamma,
        "margin": margin,
        "centre": centre,
    }
    config = TrainConfig(
        method=method,
        source=source,
        model=model,
        out=out,
        settings=settings_of(method, {name: value for name, value in own.items() if value is not None}),
        labels=labels,
        limit=limit,
        epochs=epochs,
        max_steps=max_steps,
        batch_size=batch_size,
        micro_batch=min(micro_batch, batch_size),
        learning_rate=learning_rate,
        schedule=schedule,
        warmup=warmup,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        context=context,
        lora=lora,
        gradient_checkpointing=gradient_checkpointing,
        precision=precision,
        eval_fraction=eval_fraction,
        patience=patience,
        save_every=save_every,
        seed=seed,
        report_to=report_to,
        overwrite=overwrite,
        trust_remote_code=trust_remote_code,
    )
    from rich.console import Console

    from rlaif.cli.progress import TrainProgress

    with TrainProgress(Console(stderr=True)) as bar:
        from transformers.utils.logging import set_verbosity_error

        from rlaif.train.loop import Progress
        from rlaif.train.run import run_train

        set_verbosity_error()  # its notes on loading and saving would tear the bar
        run = run_train(config, Progress(bar.stage, bar.update))
    _print_result(out, run)


def _print_result(out: Path, run: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    data, console = run["data"], Console(highlight=False, soft_wrap=True)
    table = Table("metric", "value")
    for name, value in run["metrics"].items():
        table.add_row(name, f"{value:.4g}")
    console.print(table)
    console.print(f"{data['used']} examples, {data['held_out']} held out, {data['failed']} rows failed")
    for what, name in (("model", "model"), ("metrics", "metrics.jsonl"), ("failures", "failures.jsonl")):
        console.print(f"{what:9}{out / name}", markup=False)
