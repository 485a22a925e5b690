"""The methods as data: which steps each is made of. A step is one of this package's own commands with settings.

In a step's settings ``{NAME}`` stands for what the step of that name has written, and makes that step one that comes first.
All steps of a seed lie beside each other, so that methods share what they have in common.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from string import Formatter
from typing import Any


@dataclass(frozen=True)
class Step:
    """command: ``sample``, ``label``, ``train METHOD``, or one of ``files.WRITERS``. settings: of that command, by name; all
    others are the comparison's own, where the command has a setting of that name.

    after: steps that come first besides those that the settings name. derived: its answers are in the verdict store once
    the steps before it are done, so it asks nothing.
    """

    command: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    derived: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the steps that come first."""
        texts = (value for value in self.settings.values() if isinstance(value, str))
        named = (name for text in texts for _, name, _, _ in Formatter().parse(text) if name)
        return tuple(dict.fromkeys([*named, *self.after]))


@dataclass(frozen=True)
class Method:
    """title: in tables. step: the one that makes the model; None for the model that all start from. free: steps that do not
    count to its cost, since it would not need them by itself: they say which pairs the other methods learn from."""

    title: str
    step: str | None
    free: tuple[str, ...] = ()


ROWS = "rows"
"""What every step begins with: the seed's training prompts."""
REWARD: Mapping[str, Any] = {"reward": "model"}
STEPS: Mapping[str, Step] = {
    "samples": Step("sample", {"source": "{rows}"}),
    "responses": Step("responses", {"source": "{samples}"}),
    "labels": Step("label", {"source": "{responses}"}),
    "known": Step("known", {"source": "{labels}"}),
    "known-noisy": Step("known", {"source": "{labels}", "noisy": True}),
    "helpful-labels": Step(
        "label", {"source": "{responses}", "constitution": "{helpfulness}"}, after=("labels",), derived=True
    ),
    "safe-labels": Step("label", {"source": "{responses}", "constitution": "{safety}"}, after=("labels",), derived=True),
    "helpfulness": Step("principles", {"safe": False}),
    "safety": Step("principles", {"safe": True}),
    "reward-model": Step("train reward", {"source": "{labels}"}),
    "known-reward-model": Step("train reward", {"source": "{known}"}),
    "known-noisy-reward-model": Step("train reward", {"source": "{known-noisy}"}),
    "helpful-reward-model": Step("train reward", {"source": "{helpful-labels}"}),
    "safe-reward-model": Step("train reward", {"source": "{safe-labels}"}),
    "two-models": Step("mix", {"helpfulness": "{helpful-reward-model}/model", "safety": "{safe-reward-model}/model"}),
    "sft": Step("train sft", {"source": "{labels}"}),
    "best-of-n": Step("train best-of-n", {"source": "{rows}"}, after=("samples",)),
    "rlhf": Step("train ppo", {"source": "{rows}", "reward_model": "{known-reward-model}/model", **REWARD}),
    "rlhf-noisy": Step("train ppo", {"source": "{rows}", "reward_model": "{known-noisy-reward-model}/model", **REWARD}),
    "rlaif": Step("train ppo", {"source": "{rows}", "reward_model": "{reward-model}/model", **REWARD}),
    "two-model": Step("train ppo", {"source": "{rows}", "reward": "{two-models}"}),
    "direct": Step("train ppo", {"source": "{rows}", "reward": "critic"}),
    "grpo": Step("train grpo", {"source": "{rows}", "reward": "critic"}),
    "reft": Step("train ppo", {"source": "{rows}", "model": "{sft}/model", "reward": "verifier"}),
    **{method: Step(f"train {method}", {"source": "{labels}"}) for method in ("dpo", "ipo", "kto", "orpo", "cpo", "simpo")},
}
METHODS: Mapping[str, Method] = {
    "base": Method("the model that all start from", None),
    "sft": Method("SFT on the labels' best", "sft"),
    "best-of-n": Method("best-of-n, then SFT", "best-of-n"),
    "rlhf": Method("RLHF: known labels → reward model → PPO", "rlhf", free=("labels",)),
    "rlhf-noisy": Method("RLHF, known labels as wrong as the critic's", "rlhf-noisy", free=("labels",)),
    "rlaif": Method("RLAIF: critic's labels → reward model → PPO", "rlaif"),
    "two-model": Method("RLAIF, a reward model each for helpfulness and safety", "two-model"),
    "direct": Method("direct RLAIF: critic's scores → PPO", "direct"),
    "grpo": Method("GRPO on the critic's scores", "grpo"),
    "reft": Method("ReFT: SFT, then PPO on a verifier", "reft"),
    "dpo": Method("DPO", "dpo"),
    "ipo": Method("IPO", "ipo"),
    "kto": Method("KTO", "kto"),
    "orpo": Method("ORPO", "orpo"),
    "cpo": Method("CPO", "cpo"),
    "simpo": Method("SimPO", "simpo"),
}
KNOWN = ("rlhf", "rlhf-noisy")
"""Methods that want known preferences."""


def steps(paired: bool) -> Mapping[str, Step]:
    """All steps by name. paired: the rows bring responses with known preferences, so that no others are labelled."""
    return {**STEPS, "responses": Step("responses", {"source": "{rows}"})} if paired else STEPS


def chain(step: str | None, known: Mapping[str, Step]) -> list[str]:
    """The steps that lead to ``step``, each after those that it needs, itself last."""
    found: dict[str, None] = {}

    def walk(name: str) -> None:
        if name != ROWS and name not in found:
            for earlier in known[name].needs:
                walk(earlier)
            found[name] = None

    if step is not None:
        walk(step)
    return list(found)


def plan(methods: Iterable[str], known: Mapping[str, Step]) -> list[str]:
    """All steps of the methods, each once."""
    return list(dict.fromkeys(step for method in methods for step in chain(METHODS[method].step, known)))
