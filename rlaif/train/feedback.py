"""What training on a model's own samples is asked to do. Imports nothing heavy, so that the command line can read it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, make_dataclass
from functools import cache

from rlaif.critic.config import CriticConfig
from rlaif.errors import UsageError
from rlaif.sample.config import SamplingConfig
from rlaif.settings import flag, nested, redefault, setting, settings_of
from rlaif.train.config import Prediction, TrainConfig, configuration
from rlaif.train.methods import find_loss

PANEL = "Training on its own samples"


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """How to sample, and which critic says what is better, by which constitution.

    rounds: how often to sample, label and train, each time with the model of the round before; None is once, without
        sub-folders for rounds. pairs: as of ``rlaif label``.
    """

    rounds: int | None = setting(
        None, "Sample with the model, have the critic label, train; so many times. SOURCE is prompts.", panel=PANEL, least=1
    )
    pairs: str = setting(
        "all", "Of a prompt's responses: all, adjacent, N drawn pairs, swiss or active (see rlaif label).", panel=PANEL
    )
    drawing: SamplingConfig = nested(SamplingConfig)
    critic: CriticConfig = nested(CriticConfig, without=("mode",), rename={"labels": "critic_labels"})

    def check(self) -> None:
        """Raises UsageError where nobody is there to judge, or nothing to choose between."""
        self._check_samples()
        if not self.critic.models or self.critic.constitution is None:
            raise UsageError("who is to judge the samples? give --critic and --constitution")

    def _check_samples(self) -> None:
        if self.drawing.samples < 2:
            raise UsageError(f"--samples {self.drawing.samples}: to say which response is better takes two")


@dataclass(frozen=True, kw_only=True)
class _Many(SamplingConfig):
    samples: int = redefault(SamplingConfig, "samples", 16)


@dataclass(frozen=True, kw_only=True)
class BestOfN(Feedback):
    """reward_model: ranks in place of critic and constitution. prediction: how its members become one score."""

    rounds: int | None = setting(None, "Do it so many times, each with the model of the time before.", panel=PANEL, least=1)
    pairs: str = setting("adjacent", hidden=True)  # pairs are of no use here, and all would be n (n − 1) / 2 a prompt
    drawing: SamplingConfig = nested(_Many)
    reward_model: str | None = setting(
        None, "A reward model's path or hub id, in place of critic and constitution.", panel=PANEL, path=True
    )
    prediction: Prediction = setting(
        "mean", "An ensemble's score: mean, worst, or uncertainty (mean − ½ variance).", panel=PANEL
    )

    def check(self) -> None:
        if self.reward_model and (self.critic.models or self.critic.constitution):
            raise UsageError("--reward-model: it ranks in place of --critic and --constitution; give one or the other")
        self._check_samples()
        if not self.reward_model and (not self.critic.models or self.critic.constitution is None):
            raise UsageError("who is to judge the samples? give --critic and --constitution, or --reward-model")


@dataclass(frozen=True, kw_only=True)
class RoundsConfig:
    """train: the method (``sft``: best-of-n), the prompts as its ``source``, the first model, and how to train each round."""

    train: TrainConfig = nested(TrainConfig)
    feedback: Feedback = nested(Feedback)

    @property
    def method(self) -> str:
        """What the user calls it."""
        return "best-of-n" if isinstance(self.feedback, BestOfN) else self.train.method

    def check(self, given: Collection[str]) -> None:
        """Raises UsageError where a setting is ``given`` that only plays a part with --rounds, and these are not."""
        own = settings_of(type(self.train))
        unused = [name for name in given if name not in own]
        if self.feedback.rounds is None and unused:
            raise UsageError(f"{flag(unused[0])}: it is for training on the model's own samples; give --rounds too")


@cache
def rounds_configuration(method: str) -> type[RoundsConfig]:
    """The configuration of a preference method that can go on with samples of the model that it trained."""
    return _of(f"{find_loss(method).__name__}Rounds", configuration(method), Feedback)


@cache
def best_of_n_configuration() -> type[RoundsConfig]:
    """The configuration of best-of-n, which fine-tunes on the best responses."""
    return _of("BestOfNRounds", configuration("sft"), BestOfN, without=("labels",))


def _of(name: str, train: type[TrainConfig], feedback: type[Feedback], without: Collection[str] = ()) -> type[RoundsConfig]:
    own = [("train", train, nested(train, without=without)), ("feedback", feedback, nested(feedback))]
    return make_dataclass(name, own, bases=(RoundsConfig,), frozen=True, kw_only=True)
