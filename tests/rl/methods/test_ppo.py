from rlaif.rl.methods.ppo import Ppo
from rlaif.settings import configure, settings_of


def test_its_defaults_are_those_of_the_papers():
    config = configure(Ppo, source="none", model="none", out="none")
    assert (config.epochs, config.lam, config.gamma, config.clip, config.value_clip) == (4, 0.95, 1.0, 0.2, 0.2)
    assert settings_of(Ppo)["lam"].about.help
