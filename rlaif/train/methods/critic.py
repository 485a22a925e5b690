"""A critic: the judge's own question with the judge's own labels, learnt from what is known of pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from rlaif.critic.config import CriticConfig
from rlaif.errors import UsageError
from rlaif.settings import redefault, setting
from rlaif.train.methods.base import PANEL, Loss

if TYPE_CHECKING:
    from rlaif.engines.base import Failure
    from rlaif.models.load import Base
    from rlaif.train.batches import Batch
    from rlaif.train.items import Item
    from rlaif.train.objectives import Step
    from rlaif.train.rows import Example


@dataclass(frozen=True)
class Critic(Loss):
    """constitution: whose questions are learnt. mode: what is asked. consistency: λ of ``losses.both_orders``. reasons: learn
    to reason first, from rationales that led to the known label (``rlaif.train.rationales`` writes them)."""

    name: ClassVar[str] = "critic"
    title: ClassVar[str] = "a critic"
    rate: ClassVar[float] = 1e-5

    constitution: Path | None = redefault(CriticConfig, "constitution", None)
    mode: Literal["compare", "score"] = setting("compare", "The question to learn: compare or score.", panel=PANEL)
    prompts: Path | None = redefault(CriticConfig, "prompts", None)
    consistency: float = setting(0.0, "Weight of the squared gap between both orders.", panel=PANEL, least=0)
    reasons: bool = redefault(CriticConfig, "reasons", False)
    reasons_tokens: int = redefault(CriticConfig, "reasons_tokens", 512)

    @classmethod
    def prefers(cls) -> bool:
        return False

    def check(self, batch_size: int) -> None:
        if self.constitution is None:
            raise UsageError("--constitution is missing: the principles that the critic is to judge by")
        if self.consistency and self.mode != "compare":
            raise UsageError("--consistency needs --mode compare: a score is asked for in no order")
        if self.reasons and self.mode != "compare":
            raise UsageError("--reasons needs --mode compare: a score comes without reasons")
        if self.reasons and self.consistency:
            raise UsageError("--consistency sees both orders in one step; with --reasons each rationale is of one order")

    def encoder(self, base: Base) -> Callable[[Example], list[Item] | Failure]:
        from rlaif.constitution.load import load_constitution
        from rlaif.critic.templates import load_template
        from rlaif.train.judging import Questions
        from rlaif.train.reasoned import ReasonedQuestions

        assert self.constitution is not None  # check has seen to it
        constitution = load_constitution(self.constitution)
        if self.reasons:
            return ReasonedQuestions(constitution, load_template("reasons", self.prompts), base, self.reasons_tokens).items
        return Questions(constitution, load_template(self.mode, self.prompts), base).items

    def arrange(self, items: Sequence[Item], context: int, seed: int, held_out: bool) -> list[Item]:
        """With reasons, training sees the rationales, and evaluation the questions."""
        from rlaif.train.reasoned import ASKED, LEARNT

        if not self.reasons:
            return list(items)
        kept = [item for item in items if len(item.sequences) == (ASKED if held_out else LEARNT)]
        if not kept and not held_out:
            raise UsageError("--reasons: no row to train on has a rationale that led to its label and fits the context")
        return kept

    def step(self, model: Any, batch: Batch) -> Step:
        from rlaif.train import reasoned
        from rlaif.train.judging import label_logprobs, watched
        from rlaif.train.losses import both_orders, scored_pair
        from rlaif.train.objectives import by_row

        if self.reasons:
            return reasoned.step(model, batch, self.reasons_tokens)
        first, second = label_logprobs(model, batch).chunk(2)  # [B, C] each
        if self.mode == "compare":
            losses = both_orders(first, second, batch.p, self.consistency)
        else:
            losses = scored_pair(first, second, batch.p)
        return by_row(losses, watched(first, second, batch.p, self.mode))

    def finish(self, model: Any, held_out: Sequence[Item], pad: int) -> dict[str, float]:
        """Set the temperature at which the labels' probabilities of the held-out pairs are likeliest. Not so with reasons: a
        label is a word of theirs too."""
        from rlaif.train.judging import set_temperature

        return set_temperature(model, held_out, pad, self.mode) if held_out and not self.reasons else {}
