import pytest

from rlaif.rl.methods.opo import Opo
from rlaif.settings import configure


def test_the_baseline_is_the_mean_over_the_groups_tokens(scored, totals):
    advantages, _ = configure(Opo, source="none", model="none", out="none").estimate(scored)
    lengths = scored.mask.sum(-1).tolist()
    for first in (0, 2):
        pair = (first, first + 1)
        baseline = sum(lengths[i] * totals[i] for i in pair) / sum(lengths[i] for i in pair)
        assert [advantages[i, 0].item() for i in pair] == pytest.approx([totals[i] - baseline for i in pair], rel=1e-4)
