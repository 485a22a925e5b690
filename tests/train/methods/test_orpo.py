import pytest

from rlaif.train.methods.orpo import Orpo
from tests.reference import losses as oracle


def test_it_is_of_averages_per_token(total, numbers):
    wanted = [oracle.orpo(n.c / n.tokens[0], n.r / n.tokens[1], n.p, 0.4) for n in numbers]
    assert total(Orpo(0.4)) == pytest.approx(sum(wanted), rel=1e-5)
