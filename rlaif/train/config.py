"""What a training run is asked to do. Imports nothing heavy, so that the command line can read it."""

from __future__ import annotations

from dataclasses import dataclass, make_dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from rlaif.critic.config import CriticConfig
from rlaif.data.push import HubConfig
from rlaif.engines.config import EngineConfig
from rlaif.errors import UsageError
from rlaif.models.config import PRECISION, Precision, Quantize
from rlaif.sample.config import COLUMNS
from rlaif.settings import nested, redefault, setting
from rlaif.tracking import TrackConfig
from rlaif.train.kinds import Labels
from rlaif.train.methods import find_loss
from rlaif.train.methods.base import Loss
from rlaif.train.methods.sft import Sft

Schedule = Literal["linear", "cosine", "constant"]
Prediction = Literal["mean", "worst", "uncertainty"]
"""How an ensemble's members become one score (``predict.combine``)."""
DATA, STEPS, DEVICE, OUTPUT = "Data and model", "Steps", "Memory and device", "Output"


LORA_RATE = 10.0
"""By how much an adapter wants a higher learning rate than all weights do."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What every method has; ``configuration(METHOD)`` has the method's own settings besides.

    batch_size: rows per optimiser step, over all processes. micro_batch: rows per forward pass, a divisor of it; it changes
    memory, not results. context: the most tokens of prompt and response; None is the model's own limit. lora: rank of the
    adapter, 0 for none. layers: how many of the last layers learn, 0 for all. quantize: how the weights under the adapter are
    held.
    eval_fraction: share of the prompts held out. patience: evaluations without a better loss before stopping, 0 for never.
    save_every: steps between checkpoints (and evaluations); None is ten times a run.
    """

    source: str = setting(
        help="A label run's folder, or any file or dataset of rows (docs/train.md).", metavar="SOURCE", argument=True, path=True
    )
    model: str = setting(help="What to train: a model's path or hub id, or lab:policy.", panel=DATA, path=True)
    out: Path = setting(help="The run's folder; the model goes to OUT/model.", panel=OUTPUT, resumable=True)
    loss: Loss = setting(Sft(), hidden=True)
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
    layers: int = setting(0, "Train the last so many layers alone; 0: all.", panel=DEVICE, least=0)
    quantize: Quantize = setting("none", "4bit: hold the weights under --lora in 4 bits.", panel=DEVICE)
    gradient_checkpointing: bool = setting(False, "Less memory, more time.", panel=DEVICE)
    precision: Precision = setting("auto", PRECISION, panel=DEVICE)
    eval_fraction: float = setting(0.0, "Share of the prompts to hold out.", panel=DATA, least=0, below=1)
    patience: int = setting(0, "Stop after so many evaluations without a better loss.", panel=STEPS, least=0)
    save_every: int | None = setting(None, "Steps between checkpoints and evaluations.", panel=OUTPUT, least=1)
    seed: int = redefault(CriticConfig, "seed", 0)
    track: str = redefault(TrackConfig, "track", "")
    push_to_hub: str = redefault(HubConfig, "push_to_hub", "")
    overwrite: bool = setting(False, "Start afresh in --out.", panel=OUTPUT, resumable=True)
    trust_remote_code: bool = redefault(EngineConfig, "trust_remote_code", False)

    def __post_init__(self) -> None:
        if self.batch_size % self.rows_per_pass:
            raise UsageError(f"--batch-size {self.batch_size} must be a multiple of --micro-batch {self.micro_batch}")
        self.loss.check(self.batch_size)
        if self.quantize != "none" and not self.lora:
            raise UsageError(f"--quantize {self.quantize}: quantised weights cannot be trained; give --lora RANK too")
        if self.patience and not self.eval_fraction:
            raise UsageError("--patience needs held-out rows to judge by: give --eval-fraction too")

    @property
    def method(self) -> str:
        """As ``rlaif train METHOD``."""
        return self.loss.name

    @property
    def rows_per_pass(self) -> int:
        """``micro_batch``, or the whole step where that is less."""
        return min(self.micro_batch, self.batch_size)

    @property
    def rate(self) -> float:
        """The learning rate, the method's own where none was given."""
        return self.learning_rate or self.loss.rate * (LORA_RATE if self.lora else 1.0)


@cache
def configuration(method: str) -> type[TrainConfig]:
    """The configuration of a method, or of one from outside (``module:Name``): ``TrainConfig`` with its own settings.

    Raises UsageError for a name that is not known.
    """
    loss = find_loss(method)
    return make_dataclass(
        f"{loss.__name__}Config", [("loss", loss, nested(loss))], bases=(TrainConfig,), frozen=True, kw_only=True
    )
