"""From the user's words to a source of rewards that is ready to be asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rlaif.config_file import shown
from rlaif.critic.store import VerdictStore
from rlaif.engines.base import Engine, Sampling
from rlaif.engines.config import EngineConfig
from rlaif.errors import UsageError
from rlaif.rl.rewards.config import RewardConfig
from rlaif.rl.rewards.critic import CriticReward, Plan, against_reference, alone, within_groups
from rlaif.rl.rewards.gold import gold_reward
from rlaif.rl.rewards.mix import Gate, MixReward, Part
from rlaif.rl.rewards.mix_file import load_mix
from rlaif.rl.rewards.model import ModelReward
from rlaif.rl.rewards.reference import ReferenceAnswers
from rlaif.rl.rewards.verifier import VerifierReward, load_verifier
from rlaif.rl.rollout import RewardSource
from rlaif.train.predict import RewardModel

GPU_MEMORY = 0.3
"""Share of the GPU for each critic that runs beside the policy, unless the user says otherwise."""
ASKED = frozenset(("orders", "min_mass", "shots", "reasons", "reasons_tokens", "clamp", "votes", "votes_temperature", "seed"))
"""Settings of the critic that change its rewards, besides what the digests say."""


@dataclass
class OpenReward:
    """source: whom to ask. facts: what made the rewards, for ``run.json``. task_weights: how often each task is drawn, where
    a mix says so. ``close`` gives back engines and stores."""

    source: RewardSource
    facts: dict[str, Any]
    task_weights: Mapping[str, float]
    _exits: AsyncExitStack

    @property
    def relative(self) -> bool:
        """Whether all that a reward says is how a response does beside the prompt's other samples."""
        return bool(self.facts.get("normalise")) or self.facts.get("feedback") == "group"

    async def close(self) -> None:
        await self._exits.aclose()


def open_reward(
    config: RewardConfig, *, reference: str | None = None, max_tokens: int = 256, out: Path | None = None
) -> OpenReward:
    """The source that ``config`` names.

    reference, max_tokens: the policy that training starts from and its longest response; out: the run's folder, which keeps
        its answers. Only a critic that compares with the reference policy needs the three.

    Raises UsageError when something is missing, cannot be opened, or is of the wrong kind.
    """
    opener = _Opener(reference, max_tokens, out)
    if not config.reward.endswith((".yaml", ".yml")):
        source, facts = opener.open(config)
        return OpenReward(source, facts, {}, opener.exits)
    recipe = load_mix(Path(config.reward))
    parts, described = [], []
    for item in recipe.ingredients:
        source, facts = opener.open(item.config)
        gate = Gate(*item.gate) if item.gate else None
        parts.append(Part(item.id, source, item.weight, item.optional, gate))
        described.append({"id": item.id, "weight": item.weight, "optional": item.optional, "gate": item.gate, **facts})
    tasks = {task: sorted(names) for task, names in recipe.tasks.items()}
    about = {"reward": "mix", "normalise": recipe.normalise, "sources": described, "tasks": tasks, "weights": recipe.weights}
    return OpenReward(MixReward(parts, recipe.normalise, recipe.tasks), about, recipe.weights, opener.exits)


@dataclass
class _Opener:
    """Opens sources that may share an engine."""

    reference: str | None
    max_tokens: int
    out: Path | None
    exits: AsyncExitStack = field(default_factory=AsyncExitStack)
    _engines: dict[EngineConfig, Engine] = field(default_factory=dict)

    def open(self, config: RewardConfig) -> tuple[RewardSource, dict[str, Any]]:
        if config.reward == "critic":
            return self._critic(config)
        if config.reward == "model":
            paths = _given(config.reward_model, "model", "--reward-model").split(",")
            models = [RewardModel(path, trust_remote_code=config.critic.engine.trust_remote_code) for path in paths]
            facts: dict[str, Any] = {
                "models": [model.identity for model in models],
                "prediction": config.prediction,
                "penalty": config.penalty,
            }
            return ModelReward(models, config.prediction, config.penalty), {"reward": "model", **facts}
        if config.reward == "verifier":
            spec = _given(config.verifier, "verifier", "--verifier")
            verify, options = load_verifier(spec), dict(config.options)
            file = Path(spec.rpartition(":")[0])
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16] if file.is_file() else None
            facts = {"reward": "verifier", "verifier": spec, "file": digest, "options": options}
            return VerifierReward(verify, options), facts
        if config.reward == "gold":
            return gold_reward, {"reward": "gold"}
        raise UsageError(f"--reward {config.reward}: expected critic, model, verifier, gold, or the path of a .yaml mix")

    def _critic(self, config: RewardConfig) -> tuple[RewardSource, dict[str, Any]]:
        asked = replace(config.critic, mode="score" if config.feedback == "score" else "compare")
        models = _given(asked.models, "critic", "--critic")
        _given(asked.constitution, "critic", "--constitution")
        engines = [self._engine(model, asked.engine) for model in dict.fromkeys(models)]
        store = self.exits.enter_context(VerdictStore(asked.store))
        critics = asked.critics(engines, store)
        judge = critics[0].judge
        facts = {
            "reward": "critic",
            "feedback": config.feedback,
            "critic": " + ".join(critic.judge.identity for critic in critics),
            "constitution": judge.constitution.digest,
            "template": judge.template.digest,
            "aggregate": judge.aggregate,
            "opponents": config.opponents,
            **{name: value for name, value in shown(asked).items() if name in ASKED},
        }
        return CriticReward(critics, self._plan(config)), facts

    def _plan(self, config: RewardConfig) -> Plan:
        if config.feedback == "score":
            return alone
        if config.feedback == "group":
            return within_groups(config.opponents)
        if self.reference is None or self.out is None:
            raise UsageError("--feedback reference: there is no policy here to compare with")
        engine = self._engine(self.reference, replace(config.critic.engine, context=None))
        store = self.exits.enter_context(VerdictStore(self.out / "reference-answers.sqlite"))
        return against_reference(ReferenceAnswers(engine, Sampling(self.max_tokens, temperature=0.0), store))

    def _engine(self, model: str, config: EngineConfig) -> Engine:
        config = replace(config, model=model, gpu_memory=config.gpu_memory or GPU_MEMORY)
        if config not in self._engines:
            self._engines[config] = config.open()
            self.exits.push_async_callback(self._engines[config].close)
        return self._engines[config]


def _given(value: Any, reward: str, flag: str) -> Any:
    if not value:
        raise UsageError(f"--reward {reward} needs {flag}")
    return value
