"""On-policy distillation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rlaif.errors import UsageError
from rlaif.rl.config import DATA, RlConfig, Scored
from rlaif.settings import redefault, setting

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Distill(RlConfig):
    """Agarwal et al. 2023, arXiv 2306.13649; Gu et al. 2023, arXiv 2306.08543: the policy samples, and learns from a
    teacher's probabilities of its tokens. The teacher stands where other methods have the reference policy, so that ``kl`` in
    the metrics is the distance from it, and ``beta`` weighs it against rewards, where there are any.

    teacher: a causal model of the policy's tokenizer, here or on vLLM servers (``teacher``).
    """

    method: ClassVar[str] = "distill"
    title: ClassVar[str] = "on-policy distillation"
    about: ClassVar[str] = "the reverse KL from a teacher, per token; --reward none for that alone"

    teacher: str | None = setting(
        None, "Whom to learn from: a model's path or hub id, or vLLM servers' URLs.", panel=DATA, path=True
    )
    samples: int = redefault(RlConfig, "samples", 1)
    batch_size: int = redefault(RlConfig, "batch_size", 64)
    beta: float = redefault(RlConfig, "beta", 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.teacher:
            raise UsageError("--teacher is missing: whom to learn from? a model's path or hub id, or vLLM servers' URLs")
        served = self.teacher.startswith(("http://", "https://"))
        if served and not (self.temperature == 1 and self.temperature_end in (None, 1)):
            raise UsageError("--teacher on a server says what it is itself, not at another temperature: give --temperature 1")
        if not self.beta or self.kl_in != "reward" or self.kl != "k1":
            raise UsageError("distill: the advantage is the KL from the teacher: --beta above 0, --kl-in reward and --kl k1")

    @property
    def taught_by(self) -> str | None:
        return self.teacher

    def estimate(self, scored: Scored) -> tuple[Tensor, Tensor]:
        """A_t = −β (log π − log π_teacher) at each token, and what the response's reward is above the prompt's mean.

        On the policy's own samples its gradient is that of KL(π ‖ π_teacher) at each state that they come through.
        """
        from rlaif.rl.maths.advantages import everything, group_normalised

        rewarded = group_normalised(scored.scores, scored.groups, everything(scored.scores), std=False)
        advantages = (rewarded[:, None] - scored.beta * scored.kl).masked_fill(~scored.mask, 0.0)
        return advantages, advantages.new_zeros(advantages.shape)
