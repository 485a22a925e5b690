import pytest

from rlaif.train.methods.cpo import Cpo
from tests.reference import losses as oracle


def test_sums_are_compared_and_averages_are_kept_likely(total, numbers):
    wanted = [oracle.cpo(n.c, n.r, -n.c / n.tokens[0], -n.r / n.tokens[1], n.p, 0.3, 0.7) for n in numbers]
    assert total(Cpo(0.3, 0.7)) == pytest.approx(sum(wanted), rel=1e-5)
