"""``rlaif evaluate reward``."""

from __future__ import annotations

from rlaif.cli.evaluate.printed import print_found
from rlaif.cli.flags import from_config
from rlaif.evaluate.config import RewardModelConfig


def _reward(config: RewardModelConfig) -> None:
    from rlaif.cli.console import Console
    from rlaif.cli.progress import ProgressBar
    from rlaif.evaluate.outcome import check
    from rlaif.evaluate.reward_run import MEASURES, check_reward_model
    from rlaif.progress import Progress

    check(config.outcome, MEASURES, (config.model, config.source))
    with ProgressBar(Console(stderr=True), "opening the model", ("failed",)) as bar:
        from transformers.utils.logging import set_verbosity_error

        set_verbosity_error()  # its notes on loading would tear the bar
        found = check_reward_model(config, Progress(bar.stage, bar.update))
    print_found(
        found, config.outcome, MEASURES, config.out, f"rlaif train ppo PROMPTS --reward model --reward-model {config.model}"
    )


reward = from_config(RewardModelConfig, _reward, "evaluate reward")
reward.__doc__ = """A trained reward model: accuracy, calibration, and correlation with length, by category, with intervals."""
