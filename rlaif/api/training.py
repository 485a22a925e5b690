"""``rlaif train`` as a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlaif.api.inputs import Rows, constitution_of, source_of
from rlaif.constitution.problems import nearest
from rlaif.constitution.types import Constitution
from rlaif.errors import UsageError
from rlaif.rl.config import RlConfig
from rlaif.rl.methods import METHODS
from rlaif.settings import configure
from rlaif.train.config import configuration
from rlaif.train.feedback import (
    GeneratedConfig,
    RoundsConfig,
    best_of_n_configuration,
    generated_configuration,
    rounds_configuration,
)
from rlaif.train.methods import LOSSES, find_loss
from rlaif.train.methods.critic import Critic

if TYPE_CHECKING:
    from rlaif.progress import Progress


@dataclass(frozen=True)
class Trained:
    """path: the model's folder, for ``from_pretrained``, or as the next command's model. run: the content of ``run.json``."""

    path: Path
    run: Mapping[str, Any]


def train(
    method: str,
    source: Rows,
    *,
    model: str | Path,
    out: str | Path,
    constitution: str | Path | Constitution | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Trained:
    """Train a model, as ``rlaif train METHOD`` does.

    method: sft, reward, critic, dpo, ipo, kto, orpo, cpo, simpo, best-of-n, ppo, rloo, grpo, reinforce, or ``module:Name``.
    source: a label run's folder, a path, a ``datasets`` name, a list of dicts or a ``datasets.Dataset``, such as
        ``label`` gives.
    model: a path, a hub id or ``lab:policy``. out: the run's folder. constitution: for methods with a critic; see ``label``.
    settings: of ``rlaif train METHOD``, by name.

    Safe where an event loop is running. Raises UsageError and RunFailed as the command does; the same call continues a run that
    was stopped.
    """
    folder = Path(out)
    if constitution is not None:
        settings["constitution"] = constitution_of(constitution, folder.parent, folder.name)
    generated = method == Critic.name and (settings.get("generate") is not None or settings.get("reasons", False))
    kind = generated_configuration() if generated else configuration_of(method, "rounds" in settings)
    config: Any = configure(kind, source=source_of(source, folder.parent, folder.name), model=model, out=folder, **settings)
    return Trained(folder / "model", train_configured(config, progress))


def configuration_of(method: str, in_rounds: bool = False) -> type:
    """The configuration class of a method. Raises UsageError for a name that is not known."""
    if method == "best-of-n":
        return best_of_n_configuration()
    if method in LOSSES and method not in METHODS:
        return rounds_configuration(method) if in_rounds and find_loss(method).prefers() else configuration(method)
    if method in METHODS:
        kind = METHODS[method]
        return kind if issubclass(kind, RlConfig) else configuration(method)  # module:Name may be of either family
    known = (*LOSSES, "best-of-n", *METHODS)
    raise UsageError(f"method {method!r}: expected one of {', '.join(known)}, or module:Name{nearest(method, known)}")


def train_configured(config: Any, progress: Progress | None) -> dict[str, Any]:
    """Run what a configuration of ``configuration_of`` asks for; returns the content of ``run.json``."""
    if isinstance(config, RlConfig):
        from rlaif.rl.run import run_rl

        return run_rl(config, progress)
    if isinstance(config, GeneratedConfig):
        from rlaif.train.generate import run_generated

        return run_generated(config, progress)
    if not isinstance(config, RoundsConfig):
        from rlaif.train.run import run_train

        return run_train(config, progress)
    from rlaif.train.best_of_n import run_best_of_n
    from rlaif.train.rounds import run_preference_rounds

    return (run_best_of_n if config.method == "best-of-n" else run_preference_rounds)(config, progress)
