from statistics import fmean, pstdev

import pytest
import torch

from rlaif.rl.methods.gdpo import Gdpo
from rlaif.settings import configure


def gdpo():
    return configure(Gdpo, source="none", model="none", out="none")


def test_deviations_from_the_groups_mean_are_whitened_over_the_batchs_responses(scored, totals):
    advantages, _ = gdpo().estimate(scored)
    apart = [totals[i] - fmean(totals[i // 2 * 2 : i // 2 * 2 + 2]) for i in range(4)]
    wanted = [(value - fmean(apart)) / pstdev(apart) for value in apart]
    assert advantages[:, 0].tolist() == pytest.approx(wanted, rel=1e-4)


def test_more_rewards_do_not_make_larger_steps():
    """Two sources in their groups' deviations, that agree: their sum is twice as large, the advantages are not."""
    totals, groups, lengths = torch.tensor([1.0, -1.0, 0.5, -0.5]), torch.tensor([0, 0, 1, 1]), torch.ones(4)
    once, twice = (gdpo().advantages(times * totals, groups, lengths) for times in (1, 2))
    torch.testing.assert_close(once, twice)
