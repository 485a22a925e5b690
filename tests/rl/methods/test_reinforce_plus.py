import statistics

import pytest

from rlaif.rl.methods.reinforce_plus import ReinforcePlus
from rlaif.settings import configure


def test_distances_from_the_groups_means_are_whitened_over_all_tokens(scored, totals):
    advantages, _ = configure(ReinforcePlus, source="none", model="none", out="none").estimate(scored)
    distances = [each - statistics.fmean(group) for group in (totals[:2], totals[2:]) for each in group]
    lengths = scored.mask.sum(-1).tolist()
    tokens = [distance for distance, many in zip(distances, lengths, strict=True) for _ in range(many)]
    wanted = [(distance - statistics.fmean(tokens)) / statistics.pstdev(tokens) for distance in distances]
    assert advantages[:, 0].tolist() == pytest.approx(wanted, rel=1e-4)
    assert not advantages[~scored.mask].any()
