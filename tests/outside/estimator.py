"""An on-policy method: each response against the median of its prompt's samples."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from rlaif.rl.config import RlConfig
from rlaif.rl.methods.group import GroupMethod
from rlaif.settings import redefault, setting


@dataclass(frozen=True, kw_only=True)
class Median(GroupMethod):
    title: ClassVar[str] = "policy gradient over the median"

    samples: int = redefault(RlConfig, "samples", 3)
    scale: float = setting(1.0, "Times the advantage.", above=0)

    def advantages(self, totals, groups, lengths):
        medians = {group: totals[groups == group].quantile(0.5) for group in groups.tolist()}
        return self.scale * (totals - torch.stack([medians[group] for group in groups.tolist()]))
