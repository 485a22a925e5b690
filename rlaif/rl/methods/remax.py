"""ReMax."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.errors import UsageError
from rlaif.rl.config import RlConfig, Scored
from rlaif.settings import redefault

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ReMax(RlConfig):
    """Li et al. 2023, arXiv 2310.10505: the baseline is the reward of the policy's greedy response to the same prompt, which is
    drawn and judged besides. It is a function of the prompt alone, so that the gradient stays unbiased."""

    method: ClassVar[str] = "remax"
    title: ClassVar[str] = "ReMax"
    about: ClassVar[str] = "each against the policy's greedy response"
    greedy: ClassVar[bool] = True

    samples: int = redefault(RlConfig, "samples", 1)
    batch_size: int = redefault(RlConfig, "batch_size", 64)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rewards.reward == "critic" and self.rewards.feedback == "group":
            raise UsageError("remax judges a greedy response by itself: give --feedback score or reference")
        if self.normalise_rewards:
            raise UsageError("--normalise-rewards: remax compares raw rewards, of the sample and of the greedy response")

    def estimate(self, scored: Scored) -> tuple[Tensor, Tensor]:
        """A = r − β KL − r(greedy), the same at each token of a response."""
        from rlaif.rl.maths.kl import sequence_kl

        assert scored.greedy is not None
        totals = scored.scores - scored.beta * sequence_kl(scored.kl, scored.mask)
        advantages = (totals - scored.greedy)[:, None] * scored.mask
        return advantages, advantages.new_zeros(advantages.shape)
