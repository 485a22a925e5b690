import pytest

from rlaif.rl.methods.rloo import Rloo
from rlaif.settings import configure


def test_each_is_held_against_the_prompts_other_samples(scored, totals):
    advantages, _ = configure(Rloo, source="none", model="none", out="none").estimate(scored)
    a, b, c, d = totals
    assert advantages[:, 0].tolist() == pytest.approx([a - b, b - a, c - d, d - c], rel=1e-5)
