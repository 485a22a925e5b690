"""The methods with a learned baseline: a value net says what the rest of a response is expected to earn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rlaif.errors import UsageError
from rlaif.rl.config import SHAPING, VALUE, RlConfig, Scored
from rlaif.settings import redefault, setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Baseline(RlConfig):
    """What methods with a value net have besides.

    value_model: what the value net starts from: ``policy`` (with a head of zeros), or the path of a reward model.
    value_warmup: steps at the beginning in which it alone learns; None is 0 after a reward model, else a tenth.
    whiten_rewards: as Ziegler et al. 2019. Off by default, as in Huang et al. 2024: it moves tokens without a reward off 0, so
    that where rewards are positive on average each further token costs, and where they are negative each one pays.
    """

    samples: int = redefault(RlConfig, "samples", 1)
    batch_size: int = redefault(RlConfig, "batch_size", 64)
    gamma: float = setting(1.0, "Discount.", panel=SHAPING, least=0, most=1)
    lam: float = setting(1.0, "λ of generalised advantage estimation.", panel=SHAPING, least=0, most=1)
    value_model: str = setting("policy", "What it starts from: policy, or a reward model's path.", panel=VALUE, path=True)
    value_rate: float | None = setting(None, "Its learning rate; five times the policy's by default.", panel=VALUE, above=0)
    value_clip: float = setting(0.0, "How far a value may move in an iteration; 0 for no bound.", panel=VALUE, least=0)
    value_warmup: int | None = setting(
        None, "Steps in which it learns alone; a tenth unless it starts from a reward model.", panel=VALUE, least=0
    )
    whiten_rewards: bool = setting(False, "Per token, KL penalty included, the mean kept.", panel=SHAPING)
    whiten_advantages: bool = setting(True, "To mean 0 and variance 1 over the iteration.", panel=SHAPING)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.value_warmup is not None and self.value_warmup >= self.steps:
            raise UsageError(f"--value-warmup {self.value_warmup}: the policy would not learn in any of {self.steps} steps")

    @property
    def value_net(self) -> Baseline:
        return self

    @property
    def value_learns_at(self) -> float:
        return self.value_rate or 5 * self.learns_at

    @property
    def value_alone(self) -> int:
        """How many steps the value net learns alone."""
        if self.value_warmup is not None:
            return self.value_warmup
        return min(-(-self.steps // 10), self.steps - 1) if self.value_model == "policy" else 0

    def estimate(self, scored: Scored) -> tuple[Tensor, Tensor]:
        """In the order of Ziegler et al. 2019 (arXiv 1909.08593, code lm_human_preferences/train_policy.py): KL penalty and
        score to token rewards, whiten rewards (their mean stays), GAE, returns, whiten advantages."""
        from rlaif.rl.maths.advantages import gae, whiten
        from rlaif.rl.maths.shaping import token_rewards

        mask = scored.mask
        rewards = token_rewards(scored.scores, scored.kl, mask, scored.beta)
        if self.whiten_rewards:
            rewards = whiten(rewards, mask, shift_mean=False)
        advantages, returns = gae(rewards, scored.values, mask, self.gamma, self.lam)
        return whiten(advantages, mask) if self.whiten_advantages else advantages, returns
