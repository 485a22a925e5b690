"""What an on-policy loop works with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rlaif.rl.collect import Cut
from rlaif.rl.maths import kl
from rlaif.rl.monitor.monitor import Monitor
from rlaif.rl.networks import Networks
from rlaif.rl.prompts import Prompts
from rlaif.rl.rollout import Query, RewardSource, Sampler, Sleeper
from rlaif.rl.update import Learner


@dataclass(frozen=True)
class Parts:
    """source: gives the rewards that are trained on; second: others, of held-out prompts alone. cut: what becomes of a response
    before it is judged. pad: the id that fills batches. central: of several processes the main one samples for all. sleepers:
    engines in this process that sleep while the networks work."""

    networks: Networks
    sampler: Sampler
    source: RewardSource
    second: RewardSource | None
    prompts: Prompts
    held_out: Sequence[Query]
    learner: Learner
    monitor: Monitor
    coefficient: kl.FixedKL
    pad: int
    cut: Cut | None = None
    central: bool = False
    sleepers: Sequence[Sleeper] = ()
