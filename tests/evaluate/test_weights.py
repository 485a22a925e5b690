"""Weights fitted to labels: the mix that made them, the decision that is fitted, and what is never touched."""

import numpy as np
import pytest

from rlaif.data.records import GoldMargin, PrincipleVerdict
from rlaif.evaluate.weights import Labelled, fit, labelled, log_loss, solve
from tests.reference.fake_run import pair_record

TRUE = np.array([3.0, 0.0, 1.0])


def made(n=600, seed=0, noise=0.3, missing=0.1):
    """Verdicts by three principles, and labels by a mix of them."""
    draw = np.random.default_rng(seed)
    p = draw.uniform(size=(n, 3))
    label = np.sign((p - 0.5) @ TRUE + noise * draw.normal(size=n))
    p[draw.uniform(size=p.shape) < missing] = np.nan
    return Labelled(p, label, np.arange(n) // 2)


def test_the_weights_that_made_the_labels_are_found_and_beat_equal_ones():
    found = fit(made(), [1.0, 1.0, 2.0], [None] * 3)
    assert found.weights[0] > 2 * found.weights[2] > 4 * found.weights[1] >= 0
    assert sum(found.weights) == pytest.approx(4.0, abs=0.02)
    assert found.after.value > found.equal.value + 0.05
    assert found.fitted_on + found.held_out == 600 and found.held_out == 180


def test_labels_that_say_nothing_leave_the_weights_nearly_equal():
    data = made()
    label = np.where(np.random.default_rng(3).uniform(size=len(data.label)) < 0.5, 1.0, -1.0)
    found = fit(data._replace(label=label), [1.0] * 3, [None] * 3)
    assert found.penalty == 10.0 and found.weights == pytest.approx([1.0] * 3, abs=0.1)


def test_turning_pairs_around_changes_nothing():
    data = made(200)
    turn = np.random.default_rng(1).uniform(size=200) < 0.5
    turned = Labelled(np.where(turn[:, None], 1 - data.p, data.p), np.where(turn, -data.label, data.label), data.row)
    assert solve(turned, 0.01) == pytest.approx(solve(data, 0.01), abs=1e-4)


def test_the_optimum_is_one_and_no_weight_is_negative():
    data = made(300)
    against = data._replace(p=np.where(np.arange(3) == 1, np.where(data.label > 0, 0.1, 0.9)[:, None], data.p))
    weights = solve(against, 0.0)
    assert weights[1] == 0.0

    def value(w):
        return log_loss(w, against) / 300

    for step in np.vstack([np.eye(3), -np.eye(3)]) * 0.01:
        assert value(np.maximum(0, weights + step)) >= value(weights) - 1e-9


def test_pairs_that_a_gate_decides_are_not_fitted_on():
    data = made(400)
    found = fit(data, [1.0] * 3, [None, 0.8, None])
    opened = np.maximum(data.p[:, 1], 1 - data.p[:, 1]) >= 0.8
    assert found.fitted_on < 400 - found.held_out
    assert found.fitted_on == pytest.approx(0.7 * (~opened).sum(), rel=0.15)


def test_verdicts_that_weights_do_not_decide_fit_nothing():
    data = made(40, missing=0.0)
    with pytest.raises(ValueError, match="gates decide 28"):
        fit(data, [1.0] * 3, [None, 0.501, None])
    with pytest.raises(ValueError, match="all even"):
        fit(data._replace(p=np.full_like(data.p, 0.5)), [1.0] * 3, [None] * 3)


def test_rows_are_never_on_both_sides():
    data = made(40)
    seen = data._replace(row=np.zeros(40, dtype=np.int64))
    with pytest.raises(ValueError, match="1 labelled rows are too few"):
        fit(seen, [1.0] * 3, [None] * 3)


def test_only_labelled_pairs_are_read():
    a, b = PrincipleVerdict(id="a", p=0.8), PrincipleVerdict(id="b", p=None)
    records = [
        pair_record(1, 0.8, gold=(GoldMargin(id="overall", margin=-0.5),), principles=(a, b)),
        pair_record(2, 0.8, gold=(GoldMargin(id="overall", margin=0.0),), principles=(a,)),
        pair_record(3, 0.8, gold=(GoldMargin(id="a", margin=1.0),), principles=(a,)),
    ]
    data = labelled(records, ["a", "b"])
    assert data.p[0, 0] == 0.8 and np.isnan(data.p[0, 1])
    assert (data.label.tolist(), data.row.tolist()) == ([-1.0], [1])
