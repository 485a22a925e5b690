import pytest

from rlaif.train.methods.ipo import Ipo
from tests.reference import losses as oracle


@pytest.mark.parametrize("per_token", [True, False])
def test_log_ratios_are_averaged_or_summed(total, numbers, per_token):
    lengths = [n.tokens if per_token else (1, 1) for n in numbers]
    wanted = [oracle.ipo(n.c, n.r, n.rc, n.rr, n.p, 0.2, m) for n, m in zip(numbers, lengths, strict=True)]
    assert total(Ipo(0.2, per_token)) == pytest.approx(sum(wanted), rel=1e-5)


def test_its_own_setting_does_not_change_what_a_step_is_a_mean_over():
    assert not Ipo(per_token=True).by_token
