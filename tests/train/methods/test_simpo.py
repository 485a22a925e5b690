import pytest

from rlaif.train.methods.simpo import Simpo
from tests.reference import losses as oracle


def test_it_is_of_averages_per_token(total, numbers):
    wanted = [oracle.simpo(n.c / n.tokens[0], n.r / n.tokens[1], n.p, 1.5, 0.6) for n in numbers]
    assert total(Simpo(1.5, 0.6)) == pytest.approx(sum(wanted), rel=1e-5)
