"""Win rates: clustered by prompt, and length taken out, on simulated judges whose rates are known."""

import numpy as np
import pytest

from rlaif.data.records import GoldMargin, PreferenceRecord, PrincipleVerdict
from rlaif.evaluate.win_rate import Games, games, length_controlled, win_rate


def unlabelled(p, longer, prompt):
    return Games(p, longer, prompt, np.full(len(p), np.nan))


def simulated(rng, prompts, each, share, spread):
    """Soft verdicts in clusters: a prompt's own share is drawn around ``share``, its verdicts around that."""
    own = np.clip(share + rng.normal(0, spread, prompts), 0, 1).repeat(each)
    p = np.clip(own + rng.normal(0, 0.1, prompts * each), 0, 1)
    return unlabelled(p, np.zeros(prompts * each), np.arange(prompts).repeat(each))


def test_verdicts_on_one_prompt_do_not_count_as_many_prompts():
    rng = np.random.default_rng(1)
    clustered = simulated(rng, 40, 5, 0.5, 0.2)
    apart = clustered._replace(prompt=np.arange(200))
    width = [np.subtract(rate.share.high, rate.share.low) for rate in (win_rate("x", clustered), win_rate("x", apart))]
    assert width[0] > 1.8 * width[1]


@pytest.mark.parametrize("true", [0.35, 0.5, 0.7])
def test_a_planted_effect_of_length_is_taken_out(true):
    rng = np.random.default_rng(2)
    longer = rng.normal(300, 200, 5000)  # A's responses are nearly always the longer ones
    logit = np.log(true / (1 - true)) + 1.5 * np.tanh(longer / longer.std())
    p = (rng.random(5000) < 1 / (1 + np.exp(-logit))).astype(float)
    rate = win_rate("x", unlabelled(p, longer, np.arange(5000)), draws=50)
    assert rate.share.value > true + 0.15
    assert rate.controlled.value == pytest.approx(true, abs=0.04)
    assert rate.controlled.low <= true <= rate.controlled.high


def test_the_fit_is_where_the_likelihood_is_highest():
    rng = np.random.default_rng(3)
    played = unlabelled(rng.random(50), rng.normal(0, 10, 50), np.arange(50))
    (rate,) = length_controlled(played, np.ones((1, 50)))
    length = np.tanh(played.longer / played.longer.std())
    thetas, phis = np.meshgrid(np.linspace(-1, 1, 401), np.linspace(-2, 2, 401))
    q = 1 / (1 + np.exp(-(thetas[..., None] + phis[..., None] * length)))
    likelihood = (played.p * np.log(q) + (1 - played.p) * np.log(1 - q)).sum(-1)
    best = thetas.flat[likelihood.argmax()]
    assert rate == pytest.approx(1 / (1 + np.exp(-best)), abs=2e-3)


def test_length_that_decides_every_pair_leaves_the_rate_finite():
    played = unlabelled(np.array([1.0, 1.0, 0.0, 0.0]), np.array([5.0, 9.0, -5.0, -9.0]), np.arange(4))
    rate = win_rate("x", played)
    assert rate.share.value == 0.5 and rate.controlled.value == pytest.approx(0.5)
    assert (rate.wins, rate.ties, rate.losses, rate.prompts) == (2, 0, 2, 4)


def test_nothing_played_is_no_rate():
    empty = np.zeros(0)
    rate = win_rate("x", unlabelled(empty, empty, empty.astype(np.int64)))
    assert np.isnan(rate.share).all() and rate.prompts == 0


def record(first_wins, p, prompt="q", verdict=0.9, gold=()):
    texts = [[{"role": "assistant", "content": "a longer answer"}], [{"role": "assistant", "content": "short"}]]
    chosen = 0 if first_wins else 1
    return PreferenceRecord(
        id="r",
        prompt=({"role": "user", "content": prompt},),
        chosen=tuple(texts[chosen]),
        rejected=tuple(texts[1 - chosen]),
        p_chosen=p,
        principles=(PrincipleVerdict(id="kind", p=verdict),),
        row=1,
        chosen_index=chosen,
        rejected_index=1 - chosen,
        gold=tuple(GoldMargin(id=name, margin=margin) for name, margin in gold),
    )


def test_games_are_seen_from_the_first_model():
    played = games([record(True, 0.8), record(False, 0.7), record(True, 0.6, "other", None)])
    np.testing.assert_allclose(played["overall"].p, [0.8, 0.3, 0.6])
    np.testing.assert_allclose(played["overall"].longer, [10, 10, 10])
    assert played["overall"].prompt.tolist() == [0, 0, 1]
    np.testing.assert_allclose(played["kind"].p, [0.9, 0.1])
    assert np.isnan(played["overall"].known).all()


def test_labels_are_seen_from_the_first_model_too_and_correct_its_rate():
    golds = [("overall", 0.5), ("kind", -2.0)], [("overall", 0.5), ("kind", 0.0)], [("overall", 0.0)], []
    played = games([record(first, 0.8, gold=gold) for first, gold in zip((True, False, True, True), golds, strict=True)])
    np.testing.assert_array_equal(played["overall"].known, [1.0, 0.0, 0.5, np.nan])
    np.testing.assert_array_equal(played["kind"].known, [0.0, 0.5, np.nan, np.nan])
    p, known = np.full(100, 0.9), np.array([1.0, 0.0] * 20 + [np.nan] * 60)
    rate = win_rate("x", Games(p, np.zeros(100), np.arange(100), known))
    assert rate.labelled == 40
    assert [rate.share.value, rate.corrected.value] == pytest.approx([0.9, 0.5])
