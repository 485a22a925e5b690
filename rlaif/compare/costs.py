"""What a comparison draws from policies and asks critics, counted before it is paid for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rlaif.compare.config import CompareConfig
from rlaif.compare.files import WRITERS, is_paired_file
from rlaif.compare.measure import ANSWERS
from rlaif.compare.recipes import ROWS
from rlaif.compare.steps import Place, configured
from rlaif.cost import Cost, on_policy_cost, rounds_cost, sample_cost
from rlaif.label.config import LabelConfig
from rlaif.rl.config import RlConfig
from rlaif.sample.config import SampleConfig
from rlaif.settings import changed, configure, flat, settings_of
from rlaif.train.feedback import RoundsConfig, best_of_n_configuration, rounds_configuration

NOTHING = Cost(0, 0, 0, 0, 0)


def step_cost(place: Place, name: str) -> Cost:
    """Of a step, at most and as if the verdict store were empty. Raises UsageError as its command does."""
    step = place.steps[name]
    if step.command in WRITERS or step.derived:
        return NOTHING
    config = configured(place, name)
    if isinstance(config, SampleConfig):
        return sample_cost(config)
    if isinstance(config, LabelConfig):
        asked = {**flat(config), "samples": 2 if is_paired_file(place.out(ROWS)) else place.config.drawing.samples}
        return replace(NOTHING, calls=_compared(asked, place.config, place.out(ROWS)))
    if isinstance(config, RoundsConfig):
        return rounds_cost(config)
    if not isinstance(config, RlConfig):
        return NOTHING
    by_mix = config.rewards.reward == str(place.out("two-models"))  # reward models alone, which may not be there yet
    return on_policy_cost(changed(config, reward="model") if by_mix else config)


def evaluation_cost(place: Place, models: int) -> Cost:
    """Of measuring so many models, the one that all start from among them."""
    config, held_out = place.config, place.folder / "heldout.jsonl"
    texts = models * ANSWERS * config.held_out
    critic = {**flat(config), "critic": config.judge or config.critic.models, "samples": ANSWERS}
    scored = 0 if config.by_gold else _calls(best_of_n_configuration(), critic, config, held_out)
    compared = 0 if config.by_gold else ANSWERS * _compared({**critic, "pairs": "all"}, config, held_out)
    return replace(NOTHING, texts=texts, calls=models * scored + (models - 1) * compared)


def _compared(asked: Mapping[str, Any], config: CompareConfig, prompts: Path) -> int:
    """Calls for pairs of responses to the prompts, which may not be there yet."""
    labels = asked.get("critic_labels", asked.get("labels"))
    return _calls(rounds_configuration("dpo"), {**asked, "critic_labels": labels, "labels": "soft"}, config, prompts)


def _calls(kind: type, asked: Mapping[str, Any], config: CompareConfig, prompts: Path) -> int:
    own = {"source": str(prompts), "model": config.model, "out": config.out, "columns": None, "limit": None}
    known = settings_of(kind)
    return rounds_cost(configure(kind, **{**{key: each for key, each in asked.items() if key in known}, **own})).calls
