"""The methods without a value net: what to expect of a response is read off the prompt's other samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.rl.config import RlConfig, Scored

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class GroupMethod(RlConfig):
    """``advantages`` is all that such a method has to say."""

    compares: ClassVar[bool] = True

    def advantages(self, totals: Tensor, groups: Tensor, lengths: Tensor) -> Tensor:
        """How much better each response is than expected, [B].

        Args: totals: [B], scores with the KL penalty taken off. groups: [B], the prompt that each is a response to; every
            prompt has two or more. lengths: [B], tokens of the responses.
        """
        raise NotImplementedError

    def estimate(self, scored: Scored) -> tuple[Tensor, Tensor]:
        """The KL penalty comes off the whole response's score (Ahmadian et al. 2024, arXiv 2402.14740), and the advantage of a
        response is that of each of its tokens."""
        from rlaif.rl.maths.kl import sequence_kl

        totals = scored.scores - scored.beta * sequence_kl(scored.kl, scored.mask)
        per_response = self.advantages(totals, scored.groups, scored.mask.sum(-1).float())
        advantages = per_response[:, None] * scored.mask
        return advantages, advantages.new_zeros(advantages.shape)
