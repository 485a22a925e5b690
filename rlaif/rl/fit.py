"""The memory plan of a run (``memory``) from its models' configurations and its prompts: no weights are loaded for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoConfig

from rlaif.engines.config import GPU_MEMORY
from rlaif.engines.open import model_path
from rlaif.errors import UsageError
from rlaif.models.load import Base, find_base
from rlaif.processes import processes
from rlaif.rl.config import RlConfig
from rlaif.rl.memory import Setting, Shape, fitted, nearest, plan
from rlaif.rl.prompts import queries_of
from rlaif.rl.rollout import Query
from rlaif.rl.sleep import sleeps
from rlaif.settings import flag

SPARE = 0.9
"""Share of a device's memory that tensors may take; the rest is for libraries, kernels and what allocators keep."""
REMEDIES = ("micro_tokens", "sample_tokens", "gradient_checkpointing", "lora")
"""Settings that a refusal names, where they would help."""


def setting_of(config: RlConfig, base: Base, queries: Sequence[Query]) -> Setting:
    """What the plan needs of a run's models and prompts. A critic that a server runs takes nothing here."""
    policy = _shape(base.source, base.trust_remote_code)
    value = None
    if config.value_net and config.value_net.value_model != "policy":
        value = _shape(model_path(config.value_net.value_model), base.trust_remote_code)
    prompt = max(query.length for query in queries)
    device = processes().device.type
    teacher = None
    if config.taught_by and not config.taught_by.startswith(("http://", "https://")):
        teacher = _shape(model_path(config.taught_by), base.trust_remote_code)
    beside = dict(_judges(config, device))
    if config.sampler == "vllm":
        own = int(config.sampler_memory * _total(device)) if device == "cuda" else (2 if base.bf16 else 4) * policy.parameters
        beside["vLLM sampler"] = own
    sleeping = [name for name in beside if name.startswith("vLLM")] if sleeps(config) else []
    asleep = {name: beside.pop(name) for name in sleeping}
    return Setting(policy, base.bf16, prompt, device, value, beside, teacher, asleep, processes().num_processes)


def planned(config: RlConfig) -> list[str]:
    """The plan as lines of text, for ``--dry-run``; why there is none, where the model or its prompts cannot be read here."""
    try:
        base = find_base(config.model, "causal", config.context, config.precision, config.trust_remote_code)
        queries, _ = queries_of(config, base)
        setting = setting_of(config, base, queries)
    except UsageError as error:
        return [f"memory: not known: {error}"]
    try:
        config, refused = fit(config, setting), []
    except UsageError as error:
        config, refused = fitted(config, setting), [str(error)]
    sizes = f"passes of {config.micro_tokens:,} tokens, samples in batches of {config.sample_tokens:,}"
    precision = "bfloat16" if setting.bf16 else "float32"
    return [f"memory of tensors on this device, {precision}, {sizes}:", *plan(config, setting).lines(), *refused]


def fit(config: RlConfig, setting: Setting) -> RlConfig:
    """The configuration with the micro-batches and batches of samples that fit this device, where it has none.

    Raises UsageError where the run does not fit a device whose memory is known.
    """
    limit = int(SPARE * _total(setting.device))
    least = replace(config, micro_tokens=config.micro_tokens or 1, sample_tokens=config.sample_tokens or 1)
    whole = fitted(config, setting, max(1, (limit - plan(least, setting).peak) // 2) if limit else None)
    if limit and plan(whole, setting).peak > limit:
        raise UsageError(_refusal(whole, nearest(whole, setting, limit), setting, limit))
    return whole


def _refusal(config: RlConfig, other: RlConfig | None, setting: Setting, limit: int) -> str:
    need = f"the run needs {plan(config, setting).peak / 2**30:.1f} GiB, and this device has room for {limit / 2**30:.1f}"
    if other is None:
        return f"{need}: not even an adapter with the smallest passes fits; take a smaller --model, or more memory"
    changed = [name for name in REMEDIES if getattr(other, name) != getattr(config, name)]
    flags = [flag(name) if getattr(other, name) is True else f"{flag(name)} {getattr(other, name)}" for name in changed]
    return f"{need}; with {' '.join(flags)} it needs {plan(other, setting).peak / 2**30:.1f} (--dry-run shows by what)"


def _shape(source: str, trust_remote_code: bool) -> Shape:
    return Shape.of(AutoConfig.from_pretrained(source, trust_remote_code=trust_remote_code))


def _judges(config: RlConfig, device: str) -> dict[str, int]:
    """Bytes of the models that judge in this process, as far as their configurations are here."""
    rewards = config.rewards
    if rewards.reward == "model" and rewards.reward_model:
        paths = [Path(model_path(path)) for path in rewards.reward_model.split(",")]
        return {"reward models": sum(4 * _shape(str(path), False).body for path in paths if (path / "config.json").is_file())}
    if rewards.reward not in ("critic", "verdict"):
        return {}
    engine, models = rewards.critic.engine, rewards.critic.models
    if rewards.reward == "verdict":
        models = models or (config.model,)
    here = [Path(model_path(model)) for model in models if not model.startswith(("http", "script:"))]
    here = [path for path in here if (path / "config.json").is_file()]
    if device == "cuda" and engine.engine in ("auto", "vllm"):
        return {"vLLM critics": int(len(here) * (engine.gpu_memory or GPU_MEMORY) * _total(device))}
    width = 2 if (device == "cuda" and engine.dtype == "auto") or engine.dtype in ("bfloat16", "float16") else 4
    return {"critics": sum(width * _shape(str(path), engine.trust_remote_code).parameters for path in here)}


def _total(device: str) -> int:
    """Bytes of a device's memory, 0 where it cannot be known."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(processes().device).total_memory)
    if device == "cpu" and hasattr(os, "sysconf"):
        beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes of the same run, which share it
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // beside
    return 0
