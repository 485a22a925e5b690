"""What an offline method is: its settings, what it reads, and the loss that a step of it minimises.

A method is a frozen dataclass in a file of its own; its fields are its flags. It imports torch inside its functions, so that
the command line can read its settings at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rlaif.models.config import ModelKind
from rlaif.train.kinds import RowKind

if TYPE_CHECKING:
    from torch import Tensor

    from rlaif.engines.base import Failure
    from rlaif.models.load import Base
    from rlaif.train.batches import Batch
    from rlaif.train.items import Encoder, Item, Tokens
    from rlaif.train.objectives import Pairs, Step
    from rlaif.train.rows import Example

PANEL = "Method"


@dataclass(frozen=True)
class Loss:
    """An offline method.

    name: as ``rlaif train NAME``; of a method from outside, ``module:Name``. title: for help and model cards. rate: learning
    rate where none is given, of the order that the authors used on models of 7 B parameters. rows: what it reads. model: what
    it trains. reference: whether it compares with the reference policy, the model before training. by_token: a step's loss is
    a mean over response tokens, and not over rows. baseline: whether a step first takes the mean of ``log_ratios`` over its
    rows, which is then ``batch.baseline``.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    rate: ClassVar[float] = 1e-6
    rows: ClassVar[RowKind] = "pairs"
    model: ClassVar[ModelKind] = "causal"
    reference: ClassVar[bool] = False
    by_token: ClassVar[bool] = False
    baseline: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        if "name" not in cls.__dict__:
            cls.name = f"{cls.__module__}:{cls.__qualname__}"

    @classmethod
    def prefers(cls) -> bool:
        """Whether it teaches a policy which response is better: only then can it go on with the policy's own samples."""
        return cls.model == "causal" and cls.rows != "completions"

    @property
    def heads(self) -> int:
        """Scores that a sequence classifier gives."""
        return 1

    def check(self, batch_size: int) -> None:
        """Raises UsageError where the method cannot work with so many rows in a step."""

    def check_model(self, model: Any, name: str) -> None:
        """Raises UsageError where the method cannot train this model. name: as the user gave it."""

    def encoder(self, base: Base) -> Callable[[Example], list[Item] | Failure]:
        """What makes items of an example."""
        from rlaif.train.items import Encoder

        return Encoder(base.tokenizer, base.context).items

    def arrange(self, items: Sequence[Item], context: int, seed: int, held_out: bool) -> list[Item]:
        """The items as training sees them, or (held_out) as evaluation does."""
        return list(items)

    def stack(self, items: Sequence[Item], pad: int, context: int) -> Batch:
        """Items as one batch."""
        from rlaif.train.batches import collate

        return collate(items, pad)

    def step(self, model: Any, batch: Batch) -> Step:
        """What a batch costs: the sum of its losses, with gradient, and what to watch."""
        raise NotImplementedError

    def log_ratios(self, model: Any, batch: Batch) -> Tensor:
        """What the baseline is the mean of, [B]."""
        raise NotImplementedError

    def finish(self, model: Any, held_out: Sequence[Item], pad: int) -> dict[str, float]:
        """Whatever is left to do to the trained model, by the held-out items; returns metrics of it."""
        return {}

    def scale(self, items: Sequence[Item], encoder: Encoder, seed: int) -> list[Tokens]:
        """Responses on which the trained model is to score 0 ± 1; none where it gives no scores."""
        return []


@dataclass(frozen=True)
class PairLoss(Loss):
    """A method that compares the log-probabilities of two responses: ``losses`` is all that it has to say."""

    def step(self, model: Any, batch: Batch) -> Step:
        from rlaif.train.objectives import pair_step

        return pair_step(self.losses, model, batch)

    def losses(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """(losses, margins), [B] each: what each pair costs, and by how much the policy prefers ``chosen``."""
        raise NotImplementedError
