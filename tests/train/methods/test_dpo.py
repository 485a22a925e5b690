import pytest

from rlaif.train.methods.dpo import Dpo
from tests.reference import losses as oracle


def test_each_form_is_its_own_loss_of_the_pairs(total, numbers):
    given = [(n.c, n.r, n.rc, n.rr, n.p, 0.3) for n in numbers]
    assert total(Dpo(beta=0.3)) == pytest.approx(sum(oracle.dpo(*each) for each in given), rel=1e-5)
    assert total(Dpo(0.3, "geometric")) == pytest.approx(sum(oracle.geometric_dpo(*each) for each in given), rel=1e-5)
    assert total(Dpo(0.3, "robust", 0.2)) == pytest.approx(sum(oracle.robust_dpo(*each, 0.2) for each in given), rel=1e-5)


def test_the_margin_is_over_the_reference(model, batch, numbers):
    step = Dpo().step(model, batch)
    assert step.metrics["margin"].tolist() == pytest.approx([(n.c - n.rc) - (n.r - n.rr) for n in numbers], rel=1e-5)
    assert step.metrics["accuracy"][1] == 0.5  # a tie says nothing
