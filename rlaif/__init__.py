"""From a constitution to an aligned model.

The public names below are imported when they are first used, so that ``import rlaif`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rlaif.api.critic import Critic as Critic
    from rlaif.api.labelling import label as label
    from rlaif.api.training import train as train
    from rlaif.integrations.reward import ConstitutionReward as ConstitutionReward

__version__ = "0.1.0"

_PUBLIC = {
    "CompareConfig": "rlaif.compare.config",
    "Constitution": "rlaif.constitution",
    "LabelConfig": "rlaif.label.config",
    "ConstitutionReward": "rlaif.integrations.reward",
    "Critic": "rlaif.api.critic",
    "CriticConfig": "rlaif.critic.config",
    "EngineConfig": "rlaif.engines",
    "GeneratedConfig": "rlaif.train.feedback",
    "Principle": "rlaif.constitution",
    "ReviseConfig": "rlaif.label.config",
    "RewardConfig": "rlaif.rl.rewards.config",
    "RlConfig": "rlaif.rl.config",
    "RoundsConfig": "rlaif.train.feedback",
    "RunFailed": "rlaif.errors",
    "SampleConfig": "rlaif.sample.config",
    "TrainConfig": "rlaif.train.config",
    "UsageError": "rlaif.errors",
    "VerdictStore": "rlaif.critic.store",
    "configure": "rlaif.settings",
    "dry_run": "rlaif.label.plan",
    "label": "rlaif.label",
    "load_constitution": "rlaif.constitution.load",
    "load_template": "rlaif.critic.templates",
    "read_rows": "rlaif.data.read",
    "run_best_of_n": "rlaif.train.best_of_n",
    "run_compare": "rlaif.compare.run",
    "run_generated": "rlaif.train.generate",
    "run_reasoned": "rlaif.train.rationales",
    "run_label": "rlaif.label.run",
    "run_preference_rounds": "rlaif.train.rounds",
    "run_revise": "rlaif.label.revise_run",
    "run_rl": "rlaif.rl.run",
    "run_sample": "rlaif.sample.run",
    "run_train": "rlaif.train.run",
    "train": "rlaif.train",
    "write_report": "rlaif.report.page",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rlaif' has no attribute {name!r}")
    module = import_module(_PUBLIC[name])
    return module if _PUBLIC[name] == f"rlaif.{name}" else getattr(module, name)  # a package that is a function too


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
