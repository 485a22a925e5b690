from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from rlaif.rl.methods.group import GroupMethod
from rlaif.settings import configure


@dataclass(frozen=True, kw_only=True)
class PerToken(GroupMethod):
    title: ClassVar[str] = "the total, per token"

    def advantages(self, totals, groups, lengths):
        return totals / lengths


def test_a_response_and_each_of_its_tokens_have_one_advantage(scored, totals):
    config = configure(PerToken, source="none", model="none", out="none")
    advantages, returns = config.estimate(scored)
    for row, total in enumerate(totals):
        many = int(scored.mask[row].sum())
        assert advantages[row, :many].tolist() == pytest.approx([total / many] * many)
    assert not advantages[~scored.mask].any() and not returns.any()
    assert config.compares and config.value_net is None and config.method == f"{__name__}:PerToken"
    assert torch.is_floating_point(advantages)
