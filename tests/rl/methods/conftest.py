"""Four responses to two prompts, and what was made of them before advantages are estimated."""

from __future__ import annotations

import pytest
import torch

from rlaif.rl.config import Scored

SCORES = (0.5, -1.0, 2.0, 0.0)


@pytest.fixture
def scored():
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]]).bool()
    draw = torch.Generator().manual_seed(0)
    kl, values = torch.rand(2, 4, 3, generator=draw) * mask
    return Scored(torch.tensor(SCORES), kl, 0.1, values, mask, torch.tensor([0, 0, 1, 1]))


@pytest.fixture
def totals(scored):
    """Scores with the penalty off, by hand."""
    rows = zip(scored.scores.tolist(), scored.kl.tolist(), scored.mask.tolist(), strict=True)
    return [score - 0.1 * sum(k for k, m in zip(kl, mask, strict=True) if m) for score, kl, mask in rows]
