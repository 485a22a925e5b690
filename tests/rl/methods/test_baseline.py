import pytest

from rlaif.errors import UsageError
from rlaif.rl.methods.baseline import Baseline
from rlaif.settings import configure
from tests.reference import rl as oracle


def made(**given):
    return configure(Baseline, source="none", model="none", out="none", **given)


def test_a_token_is_held_against_what_the_value_net_expected(scored):
    advantages, returns = made(gamma=0.9, lam=0.8, whiten_advantages=False).estimate(scored)
    for row, mask in enumerate(scored.mask):
        many = int(mask.sum())
        rewards = (-0.1 * scored.kl[row, :many]).tolist()
        rewards[-1] += scored.scores[row].item()
        values = scored.values[row, :many].tolist()
        wanted = [oracle.advantage(rewards, values, 0.9, 0.8, t) for t in range(many)]
        assert advantages[row, :many].tolist() == pytest.approx(wanted, rel=1e-4, abs=1e-6)
        assert returns[row, :many].tolist() == pytest.approx([a + v for a, v in zip(wanted, values, strict=True)], rel=1e-4)


def test_it_does_not_compare_samples_and_has_a_value_net():
    config = made(samples=1, learning_rate=1e-6)
    assert not config.compares and config.value_net is config and config.value_learns_at == pytest.approx(5e-6)
    with pytest.raises(UsageError, match="--value-warmup 100"):
        made(steps=100, value_warmup=100)
