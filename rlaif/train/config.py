"""What a training run is asked to do. Imports nothing heavy, so that the command line can read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from rlaif.errors import UsageError

Method = Literal["sft", "reward", "dpo", "ipo", "kto", "orpo", "cpo", "simpo"]
Labels = Literal["soft", "hard"]
Schedule = Literal["linear", "cosine", "constant"]
Quantize = Literal["none", "4bit"]
Precision = Literal["auto", "float32", "bfloat16"]
Tracker = Literal["none", "tensorboard", "wandb"]
Prediction = Literal["mean", "worst", "uncertainty"]
"""How an ensemble's members become one score (``predict.combine``)."""
DpoForm = Literal["soft", "geometric", "robust"]


@dataclass(frozen=True)
class Sft:
    """packing: lay the examples of a forward pass end to end, in place of padding."""

    packing: bool = False


@dataclass(frozen=True)
class Reward:
    """margin: how many times the rows' ``margin`` column the scores must differ by. centre: η of ``bradley_terry``.
    members: heads of an ensemble that share the model. normalise: rows whose responses, the reference policy's samples, are
    to score 0 ± 1; None for the training rows' own."""

    margin: float = 0.0
    centre: float = 0.0
    members: int = 1
    normalise: str | None = None


@dataclass(frozen=True)
class Dpo:
    """form: ``soft`` (cross-entropy with p), ``geometric`` or ``robust`` (with flip_rate, the share of wrong labels)."""

    beta: float = 0.1
    form: DpoForm = "soft"
    flip_rate: float = 0.1


@dataclass(frozen=True)
class Ipo:
    """per_token: average log-ratios over the response's tokens, or (false) sum them as the paper prints it."""

    tau: float = 0.1
    per_token: bool = True


@dataclass(frozen=True)
class Kto:
    """desirable, undesirable: the weights λ_D and λ_U."""

    beta: float = 0.1
    desirable: float = 1.0
    undesirable: float = 1.0


@dataclass(frozen=True)
class Orpo:
    """weight: λ of the odds-ratio term."""

    weight: float = 0.1


@dataclass(frozen=True)
class Cpo:
    """alpha: weight of the better response's negative log-likelihood."""

    beta: float = 0.1
    alpha: float = 1.0


@dataclass(frozen=True)
class Simpo:
    """gamma: the margin between responses; γ/β between .3 and .8 is the authors' advice."""

    beta: float = 2.0
    gamma: float = 1.0


Settings = Sft | Reward | Dpo | Ipo | Kto | Orpo | Cpo | Simpo
METHODS: Mapping[str, type[Settings]] = {
    "sft": Sft,
    "reward": Reward,
    "dpo": Dpo,
    "ipo": Ipo,
    "kto": Kto,
    "orpo": Orpo,
    "cpo": Cpo,
    "simpo": Simpo,
}
REFERENCE = frozenset(("dpo", "ipo", "kto"))
"""Methods that compare the policy with a reference policy: the model as it is before training."""
RATES: Mapping[str, float] = {
    **{"sft": 2e-5, "reward": 1e-5, "dpo": 1e-6, "ipo": 1e-6},
    **{"kto": 5e-6, "orpo": 5e-6, "cpo": 1e-6, "simpo": 1e-6},
}
"""Learning rates where none is given, of the order that the methods' authors used on models of 7 B parameters."""
LORA_RATE = 10.0
"""By how much an adapter wants a higher learning rate than all weights do."""
_POSITIVE = frozenset(("beta", "tau", "desirable", "undesirable"))


@dataclass(frozen=True)
class TrainConfig:
    """What the user asked for; the fields are the flags of ``rlaif train``.

    batch_size: rows per optimiser step, over all processes. micro_batch: rows per forward pass, a divisor of it; it changes
    memory, not results. context: the most tokens of prompt and response; None is the model's own limit. lora: rank of the
    adapter, 0 for none. quantize: how the weights under the adapter are held.
    eval_fraction: share of the prompts held out. patience: evaluations without a better loss before stopping, 0 for never.
    save_every: steps between checkpoints (and evaluations); None is ten times a run.
    """

    method: Method
    source: str
    model: str
    out: Path
    settings: Settings
    labels: Labels = "soft"
    limit: int | None = None
    epochs: float = 1.0
    max_steps: int | None = None
    batch_size: int = 32
    micro_batch: int = 4
    learning_rate: float | None = None
    schedule: Schedule = "linear"
    warmup: float = 0.1
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    context: int | None = None
    lora: int = 0
    quantize: Quantize = "none"
    gradient_checkpointing: bool = False
    precision: Precision = "auto"
    eval_fraction: float = 0.0
    patience: int = 0
    save_every: int | None = None
    seed: int = 0
    report_to: Tracker = "none"
    overwrite: bool = False
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if self.batch_size % self.micro_batch:
            raise UsageError(f"--batch-size {self.batch_size} must be a multiple of --micro-batch {self.micro_batch}")
        if self.method == "kto" and self.batch_size < 2:
            raise UsageError("--batch-size: kto needs at least 2 rows in a step, for the baseline z0")
        if self.quantize != "none" and not self.lora:
            raise UsageError(f"--quantize {self.quantize}: quantised weights cannot be trained; give --lora RANK too")
        if self.patience and not self.eval_fraction:
            raise UsageError("--patience needs held-out rows to judge by: give --eval-fraction too")
        for flag, value in (("--learning-rate", self.learning_rate), ("--epochs", self.epochs)):
            if value is not None and not value > 0:
                raise UsageError(f"{flag} {value}: must be greater than 0")
        if not 0 <= self.eval_fraction < 1:
            raise UsageError(f"--eval-fraction {self.eval_fraction}: must be at least 0 and less than 1")

    @property
    def rate(self) -> float:
        """The learning rate, the method's own where none was given."""
        return self.learning_rate or RATES[self.method] * (LORA_RATE if self.lora else 1.0)


NOT_THE_RUN = frozenset(("out", "report_to", "overwrite", "trust_remote_code"))
"""Fields that may differ between the two halves of a run."""


def settings_of(method: str, given: Mapping[str, Any]) -> Settings:
    """The method's settings, its defaults where ``given`` says nothing.

    Raises UsageError for a key that the method does not have, and for a value that the loss has no meaning for.
    """
    kind = METHODS[method]
    names = [item.name for item in fields(kind)]
    for name in given:
        if name not in names:
            raise UsageError(f"{_flag(name)}: {method} has no such setting; it has {', '.join(map(_flag, names))}")
    for name, value in given.items():
        if name in _POSITIVE and not value > 0:
            raise UsageError(f"{_flag(name)} {value}: must be greater than 0")
    if not given.get("members", 1) >= 1:
        raise UsageError(f"--members {given['members']}: must be at least 1")
    if not 0 <= given.get("flip_rate", 0) < 0.5:
        raise UsageError(f"--flip-rate {given['flip_rate']}: must be at least 0 and less than .5")
    return kind(**given)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
