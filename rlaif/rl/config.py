"""What an on-policy run is asked to do: one class of settings per method. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from rlaif.errors import UsageError
from rlaif.rl.rewards.config import RewardConfig
from rlaif.train.config import LORA_RATE, Precision, Schedule, Tracker

Method = Literal["ppo", "rloo", "grpo", "reinforce"]
Estimator = Literal["k1", "k2", "k3"]
KlPlace = Literal["reward", "loss"]
EosPenalty = Literal["replace", "subtract"]
Normalise = Literal["tokens", "sequences", "constant"]


@dataclass(frozen=True, kw_only=True)
class RlConfig:
    """What every on-policy method has; the fields are the flags of ``rlaif train ppo|rloo|grpo|reinforce``.

    steps: iterations of sample, reward, update. batch_size: prompts per iteration. samples: responses to each.
    temperature_end, entropy_end: where a linear schedule over the steps ends; None is constant.
    skip_alike: pass over a prompt once after all its samples scored alike: there was nothing to learn from it.
    truncate_at: a text of one token; responses are cut behind the first after ``truncate_after`` tokens (Ziegler et al. 2019).
    eos_penalty: for responses that did not end; ``replace`` as in the papers, ``subtract`` as in TRL. None is no penalty.
    kl_target: adapt β to hold this KL per response (Ziegler et al. 2019); None keeps β fixed. kl_horizon: of their code.
    sampler: ``transformers``, ``vllm``, or base URLs of vLLM servers, comma-separated.
    normalise: what a minibatch's loss is a mean over: its tokens, its sequences (each a mean over its own tokens, Shao et al.
    2024), or a constant, the tokens that there could be (Liu et al. 2025).
    importance_cap: the most that a token's weight π_trainer / π_sampler may be; 0 for no weights.
    micro_tokens: prompt and response tokens per forward pass, padding included; memory only.
    ahead: ``--async``; 1: the next iteration's rollouts are sampled while this one's update runs, from weights one step old.
    """

    method: ClassVar[Method]
    rate: ClassVar[float] = 1e-6
    """Learning rate where none is given, for models of some billion parameters."""

    source: str
    model: str
    out: Path
    rewards: RewardConfig = field(default_factory=RewardConfig)
    second: str | None = None
    monitor: Path | None = None
    dynamic_kl: bool = False
    limit: int | None = None
    eval_prompts: int = 64
    eval_every: int | None = None
    ptx: str | None = None
    ptx_weight: float = 1.0
    ptx_batch: int = 16
    steps: int = 100
    batch_size: int = 32
    samples: int = 4
    max_tokens: int = 128
    temperature: float = 1.0
    temperature_end: float | None = None
    skip_alike: bool = False
    truncate_at: str | None = None
    truncate_after: int = 16
    eos_penalty: float | None = None
    eos_mode: EosPenalty = "replace"
    normalise_rewards: bool = False
    clip_rewards: float | None = None
    beta: float = 0.05
    kl_in: KlPlace = "reward"
    kl: Estimator = "k1"
    kl_target: float | None = None
    kl_horizon: float | None = None
    epochs: int = 1
    minibatches: int = 1
    clip: float = 0.2
    clip_high: float | None = None
    entropy: float = 0.0
    entropy_end: float | None = None
    target_kl: float | None = None
    normalise: Normalise = "tokens"
    importance_cap: float = 2.0
    learning_rate: float | None = None
    schedule: Schedule = "linear"
    warmup: float = 0.0
    weight_decay: float = 0.0
    adam_eps: float = 1e-5
    max_grad_norm: float = 1.0
    max_failure_rate: float = 0.2
    ahead: int = 0
    sampler: str = "transformers"
    sampler_memory: float = 0.45
    micro_tokens: int = 2048
    sample_tokens: int = 32_768
    lora: int = 0
    gradient_checkpointing: bool = False
    precision: Precision = "auto"
    save_every: int | None = None
    save_minutes: float | None = None
    seed: int = 0
    report_to: Tracker = "none"
    overwrite: bool = False
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        above_0 = ("temperature", "temperature_end", "clip", "clip_high", "clip_rewards", "learning_rate", "save_minutes")
        for name in (*above_0, "kl_target", "kl_horizon", "target_kl"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UsageError(f"{flag(name)} {value}: must be greater than 0")
        at_least_0 = (
            "beta",
            "eos_penalty",
            "entropy",
            "entropy_end",
            "max_grad_norm",
            "weight_decay",
            "ptx_weight",
            "adam_eps",
        )
        for name in at_least_0:
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise UsageError(f"{flag(name)} {value}: must be at least 0")
        if self.minibatches > self.batch_size * self.samples:
            raise UsageError(f"--minibatches {self.minibatches}: there are {self.batch_size * self.samples} responses a step")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"--seed {self.seed}: must be between 0 and 2**32 - 1")
        for given, what in (
            (self.skip_alike, "--skip-alike"),
            (self.rewards.reward == "critic" and self.rewards.judge == "group", "--judge group"),
            (not isinstance(self, Baseline), self.method),
        ):
            if given and self.samples < 2:
                raise UsageError(f"{what} compares the samples of one prompt: give --samples 2 or more")
        for steers, what in ((self.kl_target, "--kl-target"), (self.dynamic_kl, "--dynamic-kl")):
            if steers and not self.beta:
                raise UsageError(f"{what} multiplies --beta, which is 0: give one above it")
        if self.dynamic_kl and not self.second:
            raise UsageError("--dynamic-kl looks at the gap between the reward and another judge: give --second")
        if self.second and not self.eval_prompts:
            raise UsageError("--second judges held-out prompts: give --eval-prompts above 0")
        if self.second and self.second != "gold" and not self.second.endswith((".yaml", ".yml")):
            raise UsageError(f"--second {self.second}: expected gold, or the path of a .yaml mix")
        if self.kl_horizon and not self.kl_target:
            raise UsageError("--kl-horizon belongs to the adaptive KL: give --kl-target too")
        if self.kl_in == "loss" and self.kl == "k1" and self.beta:
            raise UsageError("--kl-in loss needs --kl k2 or k3: the gradient of k1 is zero on average, so it penalises nothing")
        if 0 < self.importance_cap < 1:
            raise UsageError(f"--importance-cap {self.importance_cap}: must be at least 1, or 0 for no weights")

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


@dataclass(frozen=True, kw_only=True)
class Baseline(RlConfig):
    """What methods with a value net have besides.

    value_model: what the value net starts from: ``policy`` (with a head of zeros), or the path of a reward model.
    value_warmup: steps at the beginning in which it alone learns; None is 0 after a reward model, else a tenth.
    whiten_rewards: as Ziegler et al. 2019. Off by default, as in Huang et al. 2024: it moves tokens without a reward off 0, so
    that where rewards are positive on average each further token costs, and where they are negative each one pays.
    """

    samples: int = 1
    batch_size: int = 64
    gamma: float = 1.0
    lam: float = 1.0
    value_model: str = "policy"
    value_rate: float | None = None
    value_clip: float = 0.0
    value_warmup: int | None = None
    whiten_rewards: bool = False
    whiten_advantages: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("gamma", "lam"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{flag(name)} {getattr(self, name)}: must be between 0 and 1")
        if self.value_warmup is not None and self.value_warmup >= self.steps:
            raise UsageError(f"--value-warmup {self.value_warmup}: the policy would not learn in any of {self.steps} steps")
        if self.value_rate is not None and not self.value_rate > 0:
            raise UsageError(f"--value-rate {self.value_rate}: must be greater than 0")

    @property
    def value_learns_at(self) -> float:
        return self.value_rate or 5 * self.learns_at

    @property
    def value_alone(self) -> int:
        """How many steps the value net learns alone."""
        if self.value_warmup is not None:
            return self.value_warmup
        return min(-(-self.steps // 10), self.steps - 1) if self.value_model == "policy" else 0


@dataclass(frozen=True, kw_only=True)
class Ppo(Baseline):
    """Schulman et al. 2017, arXiv 1707.06347, as Ziegler et al. 2019 and Huang et al. 2024 (arXiv 2403.17031) apply it."""

    method: ClassVar[Method] = "ppo"
    epochs: int = 4
    lam: float = 0.95
    value_clip: float = 0.2


@dataclass(frozen=True, kw_only=True)
class Reinforce(Baseline):
    """REINFORCE with a learned baseline, as direct RLAIF used it (Lee et al. 2023, arXiv 2309.00267): λ = 1, one epoch."""

    method: ClassVar[Method] = "reinforce"


@dataclass(frozen=True, kw_only=True)
class Rloo(RlConfig):
    """Ahmadian et al. 2024, arXiv 2402.14740: the baseline is the mean reward of the prompt's other samples."""

    method: ClassVar[Method] = "rloo"
    beta: float = 0.03


@dataclass(frozen=True, kw_only=True)
class Grpo(RlConfig):
    """Shao et al. 2024, arXiv 2402.03300. std: divide by the group's standard deviation; not so in Dr. GRPO (2503.20783)."""

    method: ClassVar[Method] = "grpo"
    samples: int = 8
    batch_size: int = 16
    beta: float = 0.04
    kl_in: KlPlace = "loss"
    kl: Estimator = "k3"
    std: bool = True


METHODS: Mapping[Method, type[RlConfig]] = {"ppo": Ppo, "rloo": Rloo, "grpo": Grpo, "reinforce": Reinforce}

NOT_THE_RUN = frozenset(
    ("out", "report_to", "overwrite", "trust_remote_code", "max_failure_rate", "save_every", "save_minutes")
    + ("micro_tokens", "sample_tokens", "sampler_memory", "gradient_checkpointing", "rewards")
)
"""Fields that may differ between the two halves of a run: what does not shape it, or only its last digits, what a machine with
less memory needs, and ``rewards``, of which what they turned out to be is compared instead."""


def config_of(method: Method, given: Mapping[str, Any]) -> RlConfig:
    """The method's configuration. Raises UsageError for a setting that it does not have."""
    kind = METHODS[method]
    for name in given:
        if name not in {item.name for item in fields(kind)}:
            raise UsageError(f"{flag(name)}: {method} has no such setting")
    return kind(**given)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")
