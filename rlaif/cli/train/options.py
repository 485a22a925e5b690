"""The flags that every way of training has, by the field of the configuration that each one sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from inspect import Parameter
from typing import Any

import typer

from rlaif.cli.flags import panel, parameters
from rlaif.train.config import METHODS, Method, TrainConfig, settings_of

data, own, steps, device, output = map(
    panel, ("What to learn from", "The method's own settings", "How to train", "Memory and device", "Output")
)
COUNT = {"min": 1}

RUN: Mapping[str, Any] = {
    "source": typer.Argument(help="A label run's folder, or any file or dataset of rows (docs/train.md).", metavar="SOURCE"),
    "model": data("What to train: a model's path or hub id, or lab:policy."),
    "out": output("The run's folder; the model goes to OUT/model."),
    "labels": data("soft: the rows' probabilities; hard: the better one."),
    "limit": data("Only the first so many rows.", **COUNT),
    "context": data("Tokens of prompt and response, less than the model's.", min=16),
    "eval_fraction": data("Share of the prompts to hold out.", min=0),
    "epochs": steps("Times to go over the rows."),
    "max_steps": steps("Steps, in place of epochs.", **COUNT),
    "batch_size": steps("Rows per step.", **COUNT),
    "learning_rate": steps("Default: by method, tenfold with --lora."),
    "schedule": steps("After warm-up: linear, cosine or constant."),
    "warmup": steps("Share of the steps.", min=0, max=1),
    "weight_decay": steps("AdamW's.", min=0),
    "max_grad_norm": steps("Clip gradients to this norm; 0 for not.", min=0),
    "patience": steps("Stop after so many evaluations without a better loss.", min=0),
    "seed": steps("For the order of rows, the held-out prompts and new weights."),
    "micro_batch": device("Rows per forward pass; memory only.", **COUNT),
    "lora": device("Train an adapter of this rank; 0: all weights.", min=0),
    "quantize": device("4bit: hold the weights under --lora in 4 bits."),
    "gradient_checkpointing": device("Less memory, more time."),
    "precision": device("auto: bfloat16 where a GPU has it."),
    "trust_remote_code": device("Run code that comes with the model."),
    "save_every": output("Steps between checkpoints and evaluations.", **COUNT),
    "report_to": output("Also log to tensorboard or wandb."),
    "overwrite": output("Start afresh in --out."),
}
"""Fields of ``TrainConfig``."""

SETTINGS: Mapping[str, Any] = {
    "packing": own("Lay examples end to end, in place of padding."),
    "beta": own("Strength of the loss."),
    "form": own("soft, geometric or robust."),
    "flip_rate": own("Robust form: share of labels that are wrong."),
    "tau": own("Strength of the loss."),
    "per_token": own("Average log-ratios, or sum."),
    "desirable": own("Weight of desirable completions."),
    "undesirable": own("Weight of undesirable completions."),
    "weight": own("Weight of the odds ratio.", min=0),
    "alpha": own("Weight of the likelihood.", min=0),
    "gamma": own("Margin.", min=0),
    "margin": own("How many times the rows' margin to demand.", min=0),
    "centre": own("Pull of the scores to a mean of 0.", min=0),
    "members": own("Heads of an ensemble, each with its own weights of the rows.", **COUNT),
    "normalise": own("Rows whose responses are to score 0 ± 1; default: the training rows.", metavar="SOURCE"),
}
"""Fields of the methods' own settings (``METHODS``); one of the same name means the same in each."""


def settings_flags(method: Method) -> list[Parameter]:
    """The method's own settings."""
    kind = METHODS[method]
    return parameters(kind, {item.name: SETTINGS[item.name] for item in fields(kind) if item.name in SETTINGS})


def train_config(method: Method, given: dict[str, Any]) -> TrainConfig:
    """The configuration that the flags of ``RUN`` and ``settings_flags`` say."""
    own = {flag.name: given.pop(flag.name) for flag in settings_flags(method)}
    micro_batch = min(given.pop("micro_batch"), given["batch_size"])
    return TrainConfig(method=method, settings=settings_of(method, own), micro_batch=micro_batch, **given)
