"""Settings of an on-policy run that contradict each other. Imports nothing heavy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rlaif.errors import UsageError

if TYPE_CHECKING:
    from rlaif.rl.config import RlConfig


def check(config: RlConfig) -> None:
    """Raise UsageError where settings contradict each other, or have no meaning together."""
    if config.minibatches > config.batch_size * config.samples:
        raise UsageError(f"--minibatches {config.minibatches}: there are {config.batch_size * config.samples} responses a step")
    for given, what in (
        (config.skip_alike, "--skip-alike"),
        (config.curriculum < 1, "--curriculum"),
        (config.refill, "--refill"),
        (config.length_weight, "--length-weight"),
        (config.rewards.reward == "critic" and config.rewards.feedback == "group", "--feedback group"),
        (config.compares, config.method),
    ):
        if given and config.samples < 2:
            raise UsageError(f"{what} compares the samples of one prompt: give --samples 2 or more")
    if config.overlong is not None and config.overlong > config.max_tokens:
        raise UsageError(f"--overlong {config.overlong}: must be at most --max-tokens, {config.max_tokens}")
    for steers, what in ((config.kl_target, "--kl-target"), (config.dynamic_kl, "--dynamic-kl")):
        if steers and not config.beta:
            raise UsageError(f"{what} multiplies --beta, which is 0: give one above it")
    if config.dynamic_kl and not config.second:
        raise UsageError("--dynamic-kl looks at the gap between the reward and another judge: give --second")
    if config.second and not config.eval_prompts:
        raise UsageError("--second judges held-out prompts: give --eval-prompts above 0")
    if config.second and config.second != "gold" and not config.second.endswith((".yaml", ".yml")):
        raise UsageError(f"--second {config.second}: expected gold, or the path of a .yaml mix")
    if config.kl_horizon and not config.kl_target:
        raise UsageError("--kl-horizon belongs to the adaptive KL: give --kl-target too")
    if config.kl_in == "loss" and config.kl == "k1" and config.beta:
        raise UsageError("--kl-in loss needs --kl k2 or k3: the gradient of k1 is zero on average, so it penalises nothing")
    if config.dual_clip and config.surrogate not in ("clip", "gspo"):
        raise UsageError(f"--dual-clip: --surrogate {config.surrogate} has no clip; give clip or gspo")
    if config.kl_weighted and config.kl_in != "loss":
        raise UsageError("--kl-weighted is of the KL in the loss: give --kl-in loss too")
    if config.importance_band and not config.importance_band[0] < 1 < config.importance_band[1]:
        raise UsageError("--importance-band: 1, where sampler and trainer agree, must be between its two numbers")
    if (config.importance != "truncate" or config.importance_band) and not config.importance_cap:
        raise UsageError("--importance-cap 0 gives no weights: --importance and --importance-band need one")
    if 0 < config.importance_cap < 1:
        raise UsageError(f"--importance-cap {config.importance_cap}: must be at least 1, or 0 for no weights")
    if config.sampler_adapter and not (config.lora and config.sampler.startswith(("vllm", "http://", "https://"))):
        raise UsageError("--sampler-adapter hands an adapter to vLLM: give --lora, and --sampler vllm or servers, too")
    if config.sleep == "on" and config.ahead:
        raise UsageError("--sleep on: with --async the engines are at work during updates; give one of the two")
