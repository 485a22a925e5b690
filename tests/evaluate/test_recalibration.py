"""Maps against slow definitions and a known truth; what is held out; what is too little."""

import numpy as np
import pytest

from rlaif.critic.calibrated import wording_of
from rlaif.data.records import OVERALL
from rlaif.errors import RunFailed, UsageError
from rlaif.evaluate.recalibration import (
    METHODS,
    TOGETHER,
    Pair,
    calibrate_run,
    folds,
    isotonic,
    measure,
    platt,
    principle_groups,
)
from tests.reference import calibration as reference
from tests.reference.fake_run import write_run


def drawn(n, slope, seed=0, spread=2.0):
    """p and labels [n] of a critic whose logits are 1/slope times too large."""
    draw = np.random.default_rng(seed)
    z = draw.normal(0, spread, n)
    return 1 / (1 + np.exp(-z)), (draw.random(n) < 1 / (1 + np.exp(-slope * z))).astype(float)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_finds_the_truth_and_treats_both_orders_alike(method):
    found = METHODS[method](*drawn(20_000, 0.4))
    for p in (0.03, 0.2, 0.4, 0.5, 0.6, 0.8, 0.97):
        truth = 1 / (1 + (p / (1 - p)) ** -0.4)
        assert found(p) == pytest.approx(truth, abs=0.03)
        assert found(1 - p) == pytest.approx(1 - found(p), abs=1e-9)
    known = [found(p) for p in np.linspace(0, 1, 101)]
    assert known == sorted(known) and known[0] > 0 and known[-1] < 1 and found(0.5) == 0.5


def test_platt_has_the_least_loss_of_its_definition():
    p, y = drawn(60, 0.7)
    found = platt(p, y)
    best = reference.platt_loss(found.slope, p, y)
    assert all(best <= reference.platt_loss(found.slope + step, p, y) for step in (-1e-3, 1e-3, -0.2, 0.2))


def test_isotonic_is_the_min_max_fit_kept_from_the_ends():
    p, y = drawn(40, 0.7)
    found = isotonic(p, y)
    p = p.round(6)
    slow = reference.isotonic([*p, *(1 - p).round(6)], [*y, *(1 - y)])
    for at, value in slow.items():
        assert found(at) == pytest.approx(min(41 / 42, max(1 / 42, value)), abs=1e-9)


@pytest.mark.parametrize("n", [50, 400])
def test_maps_are_scikit_learns(n):
    pytest.importorskip("sklearn")
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    p, y = drawn(n, 0.6)
    p = p.round(6)
    both, labels = np.concatenate([p, 1 - p]), np.concatenate([y, 1 - y])
    theirs = IsotonicRegression(out_of_bounds="clip").fit(both, labels)
    at = np.linspace(0.01, 0.99, 50)
    expected = np.interp(at, theirs.X_thresholds_, np.clip(theirs.y_thresholds_, 1 / (n + 2), (n + 1) / (n + 2)))
    assert np.allclose([isotonic(p, y)(value) for value in at], expected, atol=1e-6)
    x, targets = np.log(both / (1 - both))[:, None], np.where(labels == 1, (n + 1) / (n + 2), 1 / (n + 2))
    model = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(
        np.concatenate([x, x]), np.repeat([1, 0], len(x)), sample_weight=np.concatenate([targets, 1 - targets])
    )
    assert platt(p, y).slope == pytest.approx(model.coef_[0, 0], abs=1e-4)


def test_labels_at_chance_make_even_probabilities_and_inverted_ones_do_not_turn_a_critic_round():
    p, y = drawn(4000, -0.5)
    assert platt(p, y)(0.9) == pytest.approx(0.5, abs=0.01) and isotonic(p, y)(0.9) == pytest.approx(0.5, abs=0.01)


def pairs(n, slope=0.4, names=("kind",), per_row=1, seed=0):
    ps, ys = zip(*(drawn(n, slope, seed + number) for number in range(len(names))), strict=True)
    rules = dict.fromkeys(names, (1.0, None))
    return [
        Pair(at // per_row, *(dict(zip(names, map(float, each), strict=True)) for each in (p, y)), rules)
        for at, (p, y) in enumerate(zip(zip(*ps, strict=True), zip(*ys, strict=True), strict=True))
    ]


def test_a_rows_pairs_are_held_out_together_and_all_once():
    found = list(folds(pairs(50, per_row=3), 0))
    assert all(not {pair.row for pair in train} & {pair.row for pair in test} for train, test in found)
    assert sorted(pair.row for _, test in found for pair in test) == sorted(pair.row for pair in pairs(50, per_row=3))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_measured_was_not_fitted_on(method):
    """Labels that are noise: a fit measured on its own labels would seem to help."""
    coins = np.random.default_rng(1).random(400)
    noise = [
        pair._replace(label={"kind": float(coin < pair.asked["kind"])}) for pair, coin in zip(pairs(400), coins, strict=True)
    ]
    honest, badly = measure(noise, "kind", method), measure(pairs(400), "kind", method)
    assert honest.loss_after > honest.loss_before - 0.005
    assert badly.helps and badly.ece_after < badly.ece_before / 2 and badly.labels == 400


def test_principles_with_few_labels_share_a_map():
    every = pairs(60, names=("kind", "short"))
    few = [*every[:21], *(pair._replace(label={"kind": pair.label["kind"]}) for pair in every[21:])]
    assert principle_groups(few, 50) == {"kind": ["kind"], TOGETHER: ["short"]}
    assert principle_groups(few[:30], 50) == {TOGETHER: ["kind", "short"]}
    assert principle_groups(few[:20], 50) == {}


def folder(tmp_path, n, slope, **facts):
    found = []
    for at, pair in enumerate(pairs(n, slope)):
        p, y = pair.asked["kind"], pair.label["kind"]
        turned = p < 0.5
        margin = 1.0 if (y == 1) != turned else -1.0
        gold = [{"id": name, "margin": margin} for name in ("kind", OVERALL)]
        entry = {"id": "kind", "p": max(p, 1 - p), "gap": 0.0, "failure": None}
        texts = {"prompt": [], "chosen": [], "rejected": [], "critic": "c"}
        place = {"id": f"{at}:0-1", "row": at, "chosen_index": 0, "rejected_index": 1}
        found.append({**texts, **place, "p_chosen": max(p, 1 - p), "principles": [entry], "gold": gold})
    constitution = {"digest": "d", "aggregate": "weighted", "principles": [{"id": "kind", "text": "Kind."}]}
    return write_run(tmp_path / "run", found, constitution=constitution, template={"mode": "compare", "digest": "t"}, **facts)


def test_a_runs_maps_say_whom_they_are_for(tmp_path):
    found, measured = calibrate_run(folder(tmp_path, 300, 0.4, config={"orders": "both"}))
    assert (found.critic, found.mode, found.template, found.constitution, found.aggregate) == (
        "scripted",
        "compare",
        "t",
        "d",
        "weighted",
    )
    assert found.settings["orders"] == "both" and found.wordings == {"kind": wording_of({"text": "Kind."}, "compare", 0)}
    assert found.principles["kind"].slope == pytest.approx(0.4, abs=0.15) and found.principles["kind"].labels == 300
    kind, overall = measured
    assert (kind.name, overall.name) == ("kind", OVERALL) and overall.loss_before == pytest.approx(kind.loss_before)
    assert overall.loss_after == pytest.approx(kind.loss_after, abs=0.01)  # of one principle, what it makes is itself


def test_too_few_labels_and_maps_that_do_not_help_are_refused(tmp_path):
    with pytest.raises(UsageError, match="40 labelled pairs are too few: platt takes 50"):
        calibrate_run(folder(tmp_path, 40, 0.4))
    with pytest.raises(UsageError, match="isotonic takes 300"):
        calibrate_run(folder(tmp_path, 200, 0.4), method="isotonic")
    with pytest.raises(RunFailed, match="no map lessens the loss"):
        calibrate_run(folder(tmp_path, 400, 1.0))
