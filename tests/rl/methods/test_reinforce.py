from rlaif.rl.methods.reinforce import Reinforce
from rlaif.settings import configure


def test_returns_are_what_follows_and_are_not_discounted(scored):
    config = configure(Reinforce, source="none", model="none", out="none", whiten_advantages=False)
    _, returns = config.estimate(scored)
    assert abs(returns[1, 0].item() - (-1.0 - 0.1 * scored.kl[1, 0].item())) < 1e-6
    assert config.epochs == 1
