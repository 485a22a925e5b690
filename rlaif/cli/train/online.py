"""The on-policy methods: ``rlaif train ppo|rloo|grpo|reinforce``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

import typer

from rlaif.cli.flags import panel, parameters, with_flags
from rlaif.rl.config import METHODS, Method, RlConfig, config_of
from rlaif.rl.rewards.config import RewardConfig

data, reward, critic, sampling, shaping, steps, value, watch, device, output = map(
    panel,
    (
        "Prompts and policy",
        "Where rewards come from",
        "The critic",
        "How to sample",
        "How rewards are shaped",
        "How to train",
        "The value net",
        "What to watch",
        "Memory and device",
        "Output",
    ),
)
COUNT = {"min": 1}

ABOUT: Mapping[Method, str] = {
    "ppo": "Proximal policy optimisation on sampled responses: a value net, clipped steps.",
    "rloo": "REINFORCE leave-one-out on sampled responses: each against the prompt's other samples.",
    "grpo": "Group relative policy optimisation on sampled responses: normalised within each prompt's samples.",
    "reinforce": "REINFORCE with a learned baseline on sampled responses, as direct RLAIF.",
}

REWARD: Mapping[str, Any] = {
    "reward": reward("critic, model, verifier, gold (the lab's), or a mix's .yaml (docs/rl.md)."),
    "critic": critic("A model's path or hub id, http://… base URLs, lab, or script:FILE."),
    "constitution": critic("The principles, in YAML."),
    "judge": critic("score each response, compare within the group, or with the reference policy's answer."),
    "opponents": critic("group: how many other samples each is compared with; all of them by default.", **COUNT),
    "aggregate": critic("weighted, sampled or worst, in place of the constitution's."),
    "orders": critic("Comparisons in both orders, or in one (ab, ba)."),
    "prompts": critic("Folder of prompt templates in place of the shipped."),
    "min_mass": critic("Label mass below which a verdict is a failure.", min=0, max=1),
    "engine": critic("auto, transformers or vllm."),
    "dtype": critic("auto, float32, bfloat16 or float16."),
    "context": critic("Tokens of prompt and answer, less than the critic's."),
    "tokenizer": critic("A server's tokenizer; none: send messages."),
    "gpu_memory": critic("vLLM's share of the GPU.", min=0.01, max=1),
    "store": critic("A verdict store that keeps the critic's answers."),
    "reward_model": reward("model: one or more folders, comma-separated."),
    "prediction": reward("model: how an ensemble's members become one score."),
    "penalty": reward("model, uncertainty: times the members' variance.", min=0),
    "verifier": reward("verifier: FILE.py:function, or rlaif.rl.rewards.checks:NAME."),
}
"""Fields of ``RewardConfig``."""

RUN: Mapping[str, Any] = {
    "source": typer.Argument(help="Any file or dataset of rows; their prompts are used (docs/rows.md).", metavar="SOURCE"),
    "model": data("The policy to start from: a model's path or hub id, or lab:policy."),
    "limit": data("Only the first so many rows.", **COUNT),
    "eval_prompts": data("Prompts to hold out, for evaluations and sample tables.", min=0),
    "skip_alike": data("Pass over a prompt once after all its samples scored alike."),
    "ptx": data("Rows whose completions are learnt beside: the PTX mix."),
    "ptx_weight": data("Weight of their likelihood.", min=0),
    "ptx_batch": data("Rows of them per step.", **COUNT),
    "max_failure_rate": reward("Stop when more of the verdicts fail.", min=0, max=1),
    "batch_size": sampling("Prompts per iteration.", **COUNT),
    "samples": sampling("Responses to each.", **COUNT),
    "max_tokens": sampling("The longest response.", **COUNT),
    "temperature": sampling("Of the samples, and of all log-probabilities."),
    "temperature_end": sampling("Where it ends, in a line; constant by default."),
    "truncate_at": sampling("Cut responses behind this token of text."),
    "truncate_after": sampling("…the first after so many tokens.", min=0),
    "ahead": typer.Option(
        "--async",
        min=0,
        max=1,
        help="1: sample the next rollouts while the update runs, from weights one step old.",
        rich_help_panel="How to sample",
    ),
    "sampler": sampling("transformers, vllm, or base URLs of vLLM servers."),
    "eos_penalty": shaping("For responses that did not end.", min=0),
    "eos_mode": shaping("The penalty replaces the reward, or is subtracted."),
    "normalise_rewards": shaping("By their running mean and deviation, per task."),
    "clip_rewards": shaping("To ± this.", min=0),
    "whiten_rewards": shaping("Per token, KL penalty included, the mean kept."),
    "beta": shaping("Weight of the KL from the reference policy."),
    "kl_in": shaping("The KL counts in the reward, or in the loss."),
    "kl": shaping("Its estimator: k1, k2 or k3."),
    "kl_target": shaping("Adapt beta to hold this KL per response."),
    "kl_horizon": shaping("…over so many episodes; by default a tenth of the error per step."),
    "gamma": shaping("Discount."),
    "lam": shaping("λ of generalised advantage estimation."),
    "std": shaping("Divide by the group's standard deviation; not so in Dr. GRPO."),
    "whiten_advantages": shaping("To mean 0 and variance 1 over the iteration."),
    "steps": steps("Iterations of sample, reward, update.", **COUNT),
    "epochs": steps("Times over each iteration's rollouts.", **COUNT),
    "minibatches": steps("Optimiser steps per epoch.", **COUNT),
    "clip": steps("The ratio's bound below, and above."),
    "clip_high": steps("The bound above, where it is another."),
    "target_kl": steps("End the iteration's update this far (nats per token) from where it began."),
    "entropy": steps("Weight of the entropy bonus."),
    "entropy_end": steps("Where it ends, in a line; constant by default."),
    "normalise": steps("A loss is a mean over tokens, sequences, or a constant."),
    "importance_cap": steps("Largest weight of a token, trainer over sampler; 0 for no weights.", min=0),
    "learning_rate": steps("Default: 1e-6, tenfold with --lora."),
    "schedule": steps("After warm-up: linear, cosine or constant."),
    "warmup": steps("Share of the steps.", min=0, max=1),
    "weight_decay": steps("AdamW's."),
    "adam_eps": steps("AdamW's ε."),
    "max_grad_norm": steps("Clip gradients to this norm; 0 for not."),
    "seed": steps("Of everything that is drawn."),
    "value_model": value("What it starts from: policy, or a reward model's path."),
    "value_rate": value("Its learning rate; five times the policy's by default."),
    "value_clip": value("How far a value may move in an iteration; 0 for no bound.", min=0),
    "value_warmup": value("Steps in which it learns alone; a tenth unless it starts from a reward model.", min=0),
    "second": watch("A second judge on held-out prompts: gold (the lab's), or a mix's .yaml."),
    "monitor": watch("The monitor's limits, in YAML (docs/rl.md)."),
    "dynamic_kl": watch("Raise beta when the second judge falls behind the reward."),
    "eval_every": watch("Steps between evaluations; ten in a run by default.", **COUNT),
    "micro_tokens": device("Tokens per forward pass of the update; speed and memory only.", min=16),
    "sample_tokens": device("Tokens per batch of the sampler.", min=16),
    "sampler_memory": device("The vLLM sampler's share of the GPU.", min=0.01, max=1),
    "lora": device("Train an adapter of this rank; 0: all weights.", min=0),
    "gradient_checkpointing": device("Less memory, more time."),
    "precision": device("auto: bfloat16 where a GPU has it."),
    "trust_remote_code": device("Run code that comes with the model."),
    "out": output("The run's folder; the model goes to OUT/model."),
    "save_every": output("Steps between checkpoints; ten in a run by default.", **COUNT),
    "save_minutes": output("Minutes after which one is due in any case."),
    "report_to": output("Also log to tensorboard or wandb."),
    "overwrite": output("Start afresh in --out."),
}
"""Fields of the methods' configurations; a method has those that its class has."""


def register(app: typer.Typer) -> None:
    """Give ``app`` a command for each method."""
    method: Method
    for method in METHODS:
        app.command(method, help=f"{ABOUT[method]} The same command continues a run that was stopped.")(_command(method))


def _command(method: Method) -> Callable[..., None]:
    kind = METHODS[method]
    names = {item.name for item in fields(kind)}
    own = {name: info for name, info in RUN.items() if name in names}

    def train(**given: Any) -> None:
        shared = {name: given[name] for name in ("seed", "trust_remote_code")}
        rewards = RewardConfig(**{name: given.pop(name) for name in REWARD}, **shared)
        _train(config_of(method, {**given, "rewards": rewards}))

    return with_flags(train, [*parameters(kind, own), *parameters(RewardConfig, REWARD)])


def _train(config: RlConfig) -> None:
    from rlaif.cli.console import Console
    from rlaif.cli.progress import TrainProgress

    shown = ("reward", "kl", "length", "heldout_reward", "seconds_sampling", "seconds_waiting", "seconds_learning")
    with TrainProgress(Console(stderr=True), shown) as bar:
        from transformers.utils.logging import set_verbosity_error

        from rlaif.rl.run import run_rl
        from rlaif.train.loop import Progress

        set_verbosity_error()  # its notes on loading and saving would tear the bar
        run = run_rl(config, Progress(bar.stage, bar.update))
    _print_result(config, run)


def _print_result(config: RlConfig, run: dict[str, Any]) -> None:
    from rich.table import Table

    from rlaif.cli.console import Console

    console = Console(highlight=False, soft_wrap=True)
    table = Table("metric", "value")
    for name, figure in run["metrics"].items():
        if not name.startswith("monitor_"):
            table.add_row(name, f"{figure:.4g}")
    console.print(table)
    if run["stopped"]:
        console.print(f"stopped by the monitor: {run['stopped']}; the model is of step {run['model_of_step']}", markup=False)
    if run["warnings"]:
        console.print(f"warnings {run['warnings']}: {config.out / 'warnings.jsonl'}", markup=False)
    for what, name in (("model", "model"), ("metrics", "metrics.jsonl"), ("samples", "samples.jsonl")):
        console.print(f"{what:9}{config.out / name}", markup=False)
