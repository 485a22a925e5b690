"""What a training run is asked to do. Imports nothing heavy, so that the command line can read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from rlaif.critic.config import CriticConfig
from rlaif.engines.config import EngineConfig
from rlaif.errors import UsageError
from rlaif.sample.config import COLUMNS
from rlaif.settings import nested, redefault, setting

Method = Literal["sft", "reward", "dpo", "ipo", "kto", "orpo", "cpo", "simpo"]
Labels = Literal["soft", "hard"]
Schedule = Literal["linear", "cosine", "constant"]
Quantize = Literal["none", "4bit"]
Precision = Literal["auto", "float32", "bfloat16"]
Tracker = Literal["none", "tensorboard", "wandb"]
Prediction = Literal["mean", "worst", "uncertainty"]
"""How an ensemble's members become one score (``predict.combine``)."""
DpoForm = Literal["soft", "geometric", "robust"]
DATA, OWN, STEPS, DEVICE, OUTPUT = "Data and model", "Method", "Steps", "Memory and device", "Output"


@dataclass(frozen=True)
class Sft:
    """packing: lay the examples of a forward pass end to end, in place of padding."""

    packing: bool = setting(False, "Lay examples end to end, in place of padding.", panel=OWN)


@dataclass(frozen=True)
class Reward:
    """margin: how many times the rows' ``margin`` column the scores must differ by. centre: η of ``bradley_terry``.
    members: heads of an ensemble that share the model. normalise: rows whose responses, the reference policy's samples, are
    to score 0 ± 1; None for the training rows' own."""

    margin: float = setting(0.0, "How many times the rows' margin to demand.", panel=OWN, least=0)
    centre: float = setting(0.0, "Pull of the scores to a mean of 0.", panel=OWN, least=0)
    members: int = setting(1, "Heads of an ensemble, each with its own weights of the rows.", panel=OWN, least=1)
    normalise: str | None = setting(
        None, "Rows whose responses are to score 0 ± 1; default: the training rows.", panel=OWN, metavar="SOURCE", path=True
    )


@dataclass(frozen=True)
class Dpo:
    """form: ``soft`` (cross-entropy with p), ``geometric`` or ``robust`` (with flip_rate, the share of wrong labels)."""

    beta: float = setting(0.1, "Strength of the loss.", panel=OWN, above=0)
    form: DpoForm = setting("soft", "soft, geometric or robust.", panel=OWN)
    flip_rate: float = setting(0.1, "Robust form: share of labels that are wrong.", panel=OWN, least=0, below=0.5)


@dataclass(frozen=True)
class Ipo:
    """per_token: average log-ratios over the response's tokens, or (false) sum them as the paper prints it."""

    tau: float = setting(0.1, "Strength of the loss.", panel=OWN, above=0)
    per_token: bool = setting(True, "Average log-ratios, or sum.", panel=OWN)


@dataclass(frozen=True)
class Kto:
    """desirable, undesirable: the weights λ_D and λ_U."""

    beta: float = setting(0.1, "Strength of the loss.", panel=OWN, above=0)
    desirable: float = setting(1.0, "Weight of desirable completions.", panel=OWN, above=0)
    undesirable: float = setting(1.0, "Weight of undesirable completions.", panel=OWN, above=0)


@dataclass(frozen=True)
class Orpo:
    """weight: λ of the odds-ratio term."""

    weight: float = setting(0.1, "Weight of the odds ratio.", panel=OWN, least=0)


@dataclass(frozen=True)
class Cpo:
    """alpha: weight of the better response's negative log-likelihood."""

    beta: float = setting(0.1, "Strength of the loss.", panel=OWN, above=0)
    alpha: float = setting(1.0, "Weight of the likelihood.", panel=OWN, least=0)


@dataclass(frozen=True)
class Simpo:
    """gamma: the margin between responses; γ/β between .3 and .8 is the authors' advice."""

    beta: float = setting(2.0, "Strength of the loss.", panel=OWN, above=0)
    gamma: float = setting(1.0, "Margin.", panel=OWN, least=0)


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


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What every method has; ``configuration(METHOD)`` has the method's own settings besides.

    batch_size: rows per optimiser step, over all processes. micro_batch: rows per forward pass, a divisor of it; it changes
    memory, not results. context: the most tokens of prompt and response; None is the model's own limit. lora: rank of the
    adapter, 0 for none. quantize: how the weights under the adapter are held.
    eval_fraction: share of the prompts held out. patience: evaluations without a better loss before stopping, 0 for never.
    save_every: steps between checkpoints (and evaluations); None is ten times a run.
    """

    method: Method = setting("sft", hidden=True)
    source: str = setting(
        help="A label run's folder, or any file or dataset of rows (docs/train.md).", metavar="SOURCE", argument=True, path=True
    )
    model: str = setting(help="What to train: a model's path or hub id, or lab:policy.", panel=DATA, path=True)
    out: Path = setting(help="The run's folder; the model goes to OUT/model.", panel=OUTPUT, resumable=True)
    settings: Settings = setting(Sft(), hidden=True)
    labels: Labels = setting("soft", "soft: the rows' probabilities; hard: the better one.", panel=DATA)
    columns: str | None = setting(None, COLUMNS, panel=DATA)
    limit: int | None = setting(None, "Only the first so many rows.", panel=DATA, least=1)
    epochs: float = setting(1.0, "Times to go over the rows.", panel=STEPS, above=0)
    max_steps: int | None = setting(None, "Steps, in place of epochs.", panel=STEPS, least=1)
    batch_size: int = setting(32, "Rows per step.", panel=STEPS, least=1)
    micro_batch: int = setting(4, "Rows per forward pass; memory only.", panel=DEVICE, least=1)
    learning_rate: float | None = setting(None, "Default: by method, tenfold with --lora.", panel=STEPS, above=0)
    schedule: Schedule = setting("linear", "After warm-up: linear, cosine or constant.", panel=STEPS)
    warmup: float = setting(0.1, "Share of the steps.", panel=STEPS, least=0, most=1)
    weight_decay: float = setting(0.0, "AdamW's.", panel=STEPS, least=0)
    max_grad_norm: float = setting(1.0, "Clip gradients to this norm; 0 for not.", panel=STEPS, least=0)
    context: int | None = setting(None, "Tokens of prompt and response, less than the model's.", panel=DATA, least=16)
    lora: int = setting(0, "Train an adapter of this rank; 0: all weights.", panel=DEVICE, least=0)
    quantize: Quantize = setting("none", "4bit: hold the weights under --lora in 4 bits.", panel=DEVICE)
    gradient_checkpointing: bool = setting(False, "Less memory, more time.", panel=DEVICE)
    precision: Precision = setting("auto", "auto: bfloat16 where a GPU has it.", panel=DEVICE)
    eval_fraction: float = setting(0.0, "Share of the prompts to hold out.", panel=DATA, least=0, below=1)
    patience: int = setting(0, "Stop after so many evaluations without a better loss.", panel=STEPS, least=0)
    save_every: int | None = setting(None, "Steps between checkpoints and evaluations.", panel=OUTPUT, least=1)
    seed: int = redefault(CriticConfig, "seed", 0)
    report_to: Tracker = setting("none", "Also log to tensorboard or wandb.", panel=OUTPUT, resumable=True)
    overwrite: bool = setting(False, "Start afresh in --out.", panel=OUTPUT, resumable=True)
    trust_remote_code: bool = redefault(EngineConfig, "trust_remote_code", False)

    def __post_init__(self) -> None:
        if self.batch_size % self.rows_per_pass:
            raise UsageError(f"--batch-size {self.batch_size} must be a multiple of --micro-batch {self.micro_batch}")
        if self.method == "kto" and self.batch_size < 2:
            raise UsageError("--batch-size: kto needs at least 2 rows in a step, for the baseline z0")
        if self.quantize != "none" and not self.lora:
            raise UsageError(f"--quantize {self.quantize}: quantised weights cannot be trained; give --lora RANK too")
        if self.patience and not self.eval_fraction:
            raise UsageError("--patience needs held-out rows to judge by: give --eval-fraction too")

    @property
    def rows_per_pass(self) -> int:
        """``micro_batch``, or the whole step where that is less."""
        return min(self.micro_batch, self.batch_size)

    @property
    def rate(self) -> float:
        """The learning rate, the method's own where none was given."""
        return self.learning_rate or RATES[self.method] * (LORA_RATE if self.lora else 1.0)


@cache
def configuration(method: Method) -> type[TrainConfig]:
    """The configuration of a method: ``TrainConfig`` with its settings."""
    kind = METHODS[method]
    own = [("method", Method, setting(method, hidden=True)), ("settings", kind, nested(kind))]
    return make_dataclass(f"{kind.__name__}Config", own, bases=(TrainConfig,), frozen=True, kw_only=True)
