import statistics

import pytest

from rlaif.rl.methods.grpo import Grpo
from rlaif.settings import configure


@pytest.mark.parametrize("std", [True, False])
def test_each_is_normalised_within_its_group(scored, totals, std):
    advantages, _ = configure(Grpo, source="none", model="none", out="none", std=std).estimate(scored)
    wanted = []
    for group in (totals[:2], totals[2:]):
        scale = statistics.stdev(group) + 1e-4 if std else 1.0
        wanted += [(each - statistics.fmean(group)) / scale for each in group]
    assert advantages[:, 0].tolist() == pytest.approx(wanted, rel=1e-4)


def test_the_batchs_deviation_is_one_for_all_groups(scored, totals):
    advantages, _ = configure(Grpo, source="none", model="none", out="none", std_of="batch").estimate(scored)
    scale = statistics.stdev(totals) + 1e-4
    wanted = [(each - statistics.fmean(group)) / scale for group in (totals[:2], totals[2:]) for each in group]
    assert advantages[:, 0].tolist() == pytest.approx(wanted, rel=1e-4)
