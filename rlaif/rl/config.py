"""What every on-policy run is asked to do, and what a method (``methods``) adds to it. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from rlaif.critic.config import CriticConfig
from rlaif.data.push import HubConfig
from rlaif.engines.config import EngineConfig
from rlaif.models.config import PRECISION, Attention, Precision
from rlaif.rl.conflicts import check
from rlaif.rl.rewards.config import RewardConfig
from rlaif.sample.config import COLUMNS
from rlaif.settings import nested, redefault, setting, verify
from rlaif.tracking import TrackConfig
from rlaif.train.config import LORA_RATE, Schedule

if TYPE_CHECKING:
    from torch import Tensor

    from rlaif.rl.methods.baseline import Baseline

Estimator = Literal["k1", "k2", "k3"]
KlPlace = Literal["reward", "loss"]
EosPenalty = Literal["replace", "subtract"]
Surrogate = Literal["clip", "gspo", "cispo", "sapo"]
Importance = Literal["truncate", "mask", "sequence", "sequence-truncate"]
Normalise = Literal["tokens", "sequences", "constant"]
Sleep = Literal["auto", "on", "off"]
DATA, REWARD, SAMPLING, SHAPING, STEPS = "Prompts and policy", "Reward", "Sampling", "Shaping of rewards", "Steps"
VALUE, WATCH, DEVICE, OUTPUT = "Value net", "Monitor", "Memory and device", "Output"


class Scored(NamedTuple):
    """What advantages are estimated from. scores: [B]. kl: [B, R], an estimate per token, and beta: what it costs in the
    reward; both 0 without a reference, and where the KL counts in the loss. values: [B, R], 0 without a value net. mask:
    [B, R], the responses. groups: [B]. greedy: [B], the reward of the greedy response to the same prompt, for methods that ask
    for it."""

    scores: Tensor
    kl: Tensor
    beta: float
    values: Tensor
    mask: Tensor
    groups: Tensor
    greedy: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class RlConfig:
    """What every on-policy method has; the fields are the flags of ``rlaif train ppo|rloo|grpo|reinforce``.

    A method is a subclass: it adds settings, gives others another default, and says how advantages are estimated. method: its
    name, as in ``rlaif train NAME``; of a method from outside, ``module:Name``. title, about: for help and model cards.
    greedy: whether it wants the reward of a greedy response to each prompt.
    compares: whether it compares the samples of a prompt, so that one without another teaches it nothing.

    steps: iterations of sample, reward, update. batch_size: prompts per iteration. samples: responses to each.
    temperature_end, entropy_end: where a linear schedule over the steps ends; None is constant.
    skip_alike: pass over a prompt once after all its samples scored alike: there was nothing to learn from it.
    curriculum: see ``maths.curriculum``. refill: dynamic sampling (Yu et al. 2025, arXiv 2503.14476): an iteration learns from
    as many prompts as planned, though at some there was nothing to learn; those that are alike in the last round stay.
    truncate_at: a text of one token; responses are cut behind the first after ``truncate_after`` tokens (Ziegler et al. 2019).
    eos_penalty: for responses that did not end; ``replace`` as in the papers, ``subtract`` as in TRL. None is no penalty.
    overlong, length_weight: see ``maths.shaping``. mask_truncated: out of baselines and loss, as where a verdict is missing.
    top_entropy: see ``maths.surrogates.most_uncertain``.
    kl_target: adapt β to hold this KL per response (Ziegler et al. 2019); None keeps β fixed. kl_horizon: of their code.
    sampler: ``transformers``, ``vllm``, base URLs of vLLM servers, comma-separated, or ``module:Name`` from outside.
    normalise: what a minibatch's loss is a mean over: its tokens, its sequences (each a mean over its own tokens, Shao et al.
    2024), or a constant, the tokens that there could be (Liu et al. 2025).
    surrogate, dual_clip: see ``maths.surrogates``. importance_cap: the most that a token's weight π_trainer / π_sampler may be;
    0 for no weights. importance, importance_floor, importance_band, off_policy: see ``maths.mismatch``.
    kl_weighted: in the loss, the estimate times π / π_old (DeepSeek-AI 2025, arXiv 2512.02556).
    micro_tokens, sample_tokens: prompt and response tokens per forward pass and per batch of samples, padding included; None
    is what fits, see ``memory.fitted``.
    ahead: ``--async``, see ``ahead``: rollouts come from weights so many steps old.
    sampler_adapter, sleep: see ``samplers.vllm`` and ``sleep``.
    """

    method: ClassVar[str]
    title: ClassVar[str]
    about: ClassVar[str] = ""
    compares: ClassVar[bool] = False
    greedy: ClassVar[bool] = False
    rate: ClassVar[float] = 1e-6
    """Learning rate where none is given, for models of some billion parameters."""

    source: str = setting(
        help="Any file or dataset of rows; their prompts are used (docs/rows.md).", metavar="SOURCE", argument=True, path=True
    )
    model: str = setting(help="The policy to start from: a model's path or hub id, or lab:policy.", panel=DATA, path=True)
    out: Path = setting(help="The run's folder; the model goes to OUT/model.", panel=OUTPUT, resumable=True)
    rewards: RewardConfig = nested(RewardConfig)
    second: str | None = setting(
        None, "A second judge on held-out prompts: gold (the lab's), or a mix's .yaml.", panel=WATCH, path=True
    )
    monitor: Path | None = setting(None, "The monitor's limits, in YAML (docs/rl.md).", panel=WATCH)
    dynamic_kl: bool = setting(False, "Raise beta when the second judge falls behind the reward.", panel=WATCH)
    columns: str | None = setting(None, COLUMNS, panel=DATA)
    limit: int | None = setting(None, "Only the first so many rows.", panel=DATA, least=1)
    eval_prompts: int = setting(64, "Prompts to hold out, for evaluations and sample tables.", panel=DATA, least=0)
    eval_every: int | None = setting(None, "Steps between evaluations; ten in a run by default.", panel=WATCH, least=1)
    ptx: str | None = setting(None, "Rows whose completions are learnt beside: the PTX mix.", panel=DATA, path=True)
    ptx_columns: str | None = setting(None, "The same as --columns, for the rows of --ptx.", panel=DATA)
    ptx_weight: float = setting(1.0, "Weight of their likelihood.", panel=DATA, least=0)
    ptx_batch: int = setting(16, "Rows of them per step.", panel=DATA, least=1)
    steps: int = setting(100, "Iterations of sample, reward, update.", panel=STEPS, least=1)
    batch_size: int = setting(32, "Prompts per iteration.", panel=SAMPLING, least=1)
    samples: int = setting(4, "Responses to each.", panel=SAMPLING, least=1)
    max_tokens: int = setting(128, "The longest response.", panel=SAMPLING, least=1)
    context: int | None = setting(
        None, "Tokens of prompt and response, less than the model's; a longer prompt is cut.", panel=SAMPLING, least=16
    )
    temperature: float = setting(1.0, "Of the samples, and of all log-probabilities.", panel=SAMPLING, above=0, most=2)
    temperature_end: float | None = setting(
        None, "Where it ends, in a line; constant by default.", panel=SAMPLING, above=0, most=2
    )
    skip_alike: bool = setting(False, "Pass over a prompt once after all its samples scored alike.", panel=DATA)
    curriculum: float = setting(
        1.0, "Least chance to ask a prompt, by how differently its samples last scored.", panel=DATA, above=0, most=1
    )
    refill: int = setting(0, "Draw other prompts, so many times, for those that scored alike (DAPO).", panel=DATA, least=0)
    truncate_at: str | None = setting(None, "Cut responses behind this token of text.", panel=SAMPLING)
    truncate_after: int = setting(16, "…the first after so many tokens.", panel=SAMPLING, least=0)
    eos_penalty: float | None = setting(None, "For responses that did not end.", panel=SHAPING, least=0)
    eos_mode: EosPenalty = setting("replace", "The penalty replaces the reward, or is subtracted.", panel=SHAPING)
    overlong: int | None = setting(
        None, "Cost in the last so many tokens before --max-tokens, in a line up to 1 (DAPO).", panel=SHAPING, least=1
    )
    length_weight: float = setting(
        0.0, "Weight of a reward for being shorter than the prompt's other samples.", panel=SHAPING, least=0
    )
    mask_truncated: bool = setting(False, "Responses that did not end count as without a reward.", panel=SHAPING)
    normalise_rewards: bool = setting(False, "By their running mean and deviation, per task.", panel=SHAPING)
    clip_rewards: float | None = setting(None, "To ± this.", panel=SHAPING, above=0)
    beta: float = setting(0.05, "Weight of the KL from the reference policy.", panel=SHAPING, least=0)
    kl_in: KlPlace = setting("reward", "The KL counts in the reward, or in the loss.", panel=SHAPING)
    kl: Estimator = setting("k1", "Its estimator: k1, k2 or k3.", panel=SHAPING)
    kl_weighted: bool = setting(
        False, "In the loss: times the ratio, so that its gradient is the KL's own after a step too.", panel=SHAPING
    )
    kl_target: float | None = setting(None, "Adapt beta to hold this KL per response.", panel=SHAPING, above=0)
    kl_horizon: float | None = setting(
        None, "…over so many episodes; by default a tenth of the error per step.", panel=SHAPING, above=0
    )
    epochs: int = setting(1, "Times over each iteration's rollouts.", panel=STEPS, least=1)
    minibatches: int = setting(1, "Optimiser steps per epoch.", panel=STEPS, least=1)
    clip: float = setting(0.2, "The ratio's bound below, and above.", panel=STEPS, above=0)
    clip_high: float | None = setting(None, "The bound above, where it is another.", panel=STEPS, above=0)
    entropy: float = setting(0.0, "Weight of the entropy bonus.", panel=STEPS, least=0)
    entropy_end: float | None = setting(None, "Where it ends, in a line; constant by default.", panel=STEPS, least=0)
    target_kl: float | None = setting(
        None, "End the iteration's update this far (nats per token) from where it began.", panel=STEPS, above=0
    )
    surrogate: Surrogate = setting(
        "clip", "What bounds a step: clip (PPO's), gspo (by response), cispo, or sapo (softly).", panel=STEPS
    )
    dual_clip: float | None = setting(
        None, "clip, gspo: a bad token costs at most so many times its advantage.", panel=STEPS, above=1
    )
    top_entropy: float = setting(
        1.0, "Policy loss on this share of the tokens alone, those of highest entropy.", panel=STEPS, above=0, most=1
    )
    normalise: Normalise = setting("tokens", "A loss is a mean over tokens, sequences, or a constant.", panel=STEPS)
    importance_cap: float = setting(
        2.0, "Largest weight of a token, trainer over sampler; 0 for no weights.", panel=STEPS, least=0
    )
    importance: Importance = setting(
        "truncate", "Weights beyond it are cut to it, or the token's or the response's loss is masked.", panel=STEPS
    )
    importance_floor: float = setting(0.5, "mask: the least weight that is not masked.", panel=STEPS, least=0, most=1)
    importance_band: tuple[float, float] | None = setting(
        None, "Mask responses whose geometric mean weight is not between these two.", panel=STEPS
    )
    off_policy: float | None = setting(
        None, "Mask bad responses that the policy has left by so many nats per token.", panel=STEPS, above=0
    )
    learning_rate: float | None = setting(None, "Default: 1e-6, tenfold with --lora.", panel=STEPS, above=0)
    schedule: Schedule = setting("linear", "After warm-up: linear, cosine or constant.", panel=STEPS)
    warmup: float = setting(0.0, "Share of the steps.", panel=STEPS, least=0, most=1)
    weight_decay: float = setting(0.0, "AdamW's.", panel=STEPS, least=0)
    adam_eps: float = setting(1e-5, "AdamW's ε.", panel=STEPS, least=0)
    max_grad_norm: float = setting(1.0, "Clip gradients to this norm; 0 for not.", panel=STEPS, least=0)
    max_failure_rate: float = redefault(CriticConfig, "max_failure_rate", 0.2)
    ahead: int = setting(
        0, "Sample ahead while updates run, from weights at most so many steps old.", panel=SAMPLING, least=0, name="async"
    )
    sampler: str = setting("transformers", "transformers, vllm, base URLs of vLLM servers, or module:Name.", panel=SAMPLING)
    sampler_memory: float = setting(
        0.45, "The vLLM sampler's share of the GPU.", panel=DEVICE, least=0.01, most=1, resumable=True
    )
    sampler_adapter: bool = setting(
        False, "With --lora: vLLM gets the adapter alone; quick updates, slower samples.", panel=SAMPLING, resumable=True
    )
    sleep: Sleep = setting(
        "auto", "vLLM in this process frees the GPU during updates; auto: unless --async.", panel=DEVICE, resumable=True
    )
    micro_tokens: int | None = setting(
        None,
        "Tokens per pass of the update: speed and memory alone. Default: what fits.",
        panel=DEVICE,
        least=1,
        resumable=True,
    )
    sample_tokens: int | None = setting(
        None, "Tokens per batch of the sampler. Default: what fits, 32768 at most.", panel=DEVICE, least=1, resumable=True
    )
    lora: int = setting(0, "Train an adapter of this rank; 0: all weights.", panel=DEVICE, least=0)
    shard: bool = setting(False, "Several processes: each holds a part of weights and optimisers (FSDP2).", panel=DEVICE)
    gradient_checkpointing: bool = setting(False, "Less memory, more time.", panel=DEVICE, resumable=True)
    precision: Precision = setting("auto", PRECISION, panel=DEVICE)
    attention: Attention = setting(
        "auto", "auto: flash attention where a GPU has it, else sdpa; or eager.", panel=DEVICE, resumable=True
    )
    compile: bool = setting(False, "Compile the networks' layers: minutes at first.", panel=DEVICE, resumable=True)
    save_every: int | None = setting(
        None, "Steps between checkpoints; ten in a run by default.", panel=OUTPUT, least=1, resumable=True
    )
    save_minutes: float | None = setting(
        None, "Minutes after which one is due in any case.", panel=OUTPUT, above=0, resumable=True
    )
    keep_optimiser: bool = setting(
        True, "In checkpoints. Without it they are half as large, and moments begin afresh.", panel=OUTPUT, resumable=True
    )
    seed: int = redefault(CriticConfig, "seed", 0)
    track: str = redefault(TrackConfig, "track", "")
    push_to_hub: str = redefault(HubConfig, "push_to_hub", "")
    overwrite: bool = setting(False, "Start afresh in --out.", panel=OUTPUT, resumable=True)
    trust_remote_code: bool = redefault(EngineConfig, "trust_remote_code", False)

    def __init_subclass__(cls) -> None:
        if "method" not in cls.__dict__:
            cls.method = f"{cls.__module__}:{cls.__qualname__}"

    def __post_init__(self) -> None:
        verify(self)
        check(self)

    @property
    def taught_by(self) -> str | None:
        """The model that stands in the reference policy's place, for a method that learns from one."""
        return None

    def estimate(self, scored: Scored) -> tuple[Tensor, Tensor]:
        """(advantages, returns), [B, R] each; returns are 0 without a value net."""
        raise NotImplementedError

    @property
    def value_net(self) -> Baseline | None:
        """The value net's settings; None for a method without one."""
        return None

    @property
    def learns_at(self) -> float:
        """The policy's highest learning rate."""
        return self.learning_rate or self.rate * (LORA_RATE if self.lora else 1.0)

    @property
    def evaluates_every(self) -> int:
        """Steps between looks at the held-out prompts."""
        return self.eval_every or max(1, self.steps // 10)

    @property
    def saves_every(self) -> int:
        """Steps between checkpoints."""
        return self.save_every or max(1, self.steps // 10)
