"""What training on a model's own samples is asked to do. Imports nothing heavy, so that the command line can read it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, make_dataclass, replace
from functools import cache

from rlaif.critic.config import CriticConfig
from rlaif.errors import UsageError
from rlaif.label.config import ReviseConfig, Revisions
from rlaif.sample.config import SampleConfig, SamplingConfig
from rlaif.settings import flag, nested, redefault, setting, settings_of
from rlaif.train.config import Prediction, TrainConfig, configuration
from rlaif.train.methods import find_loss
from rlaif.train.methods.critic import Critic

PANEL, GENERATING = "Training on its own samples", "From a constitution alone"


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
        if self.feedback.rounds is None:
            _check_unused(self.train, given, "it is for training on the model's own samples; give --rounds too")


@dataclass(frozen=True, kw_only=True)
class Generation:
    """Pairs from a constitution alone. policy: who answers the prompts. reviser: who writes each answer again, better by one
    principle. critic: who says which of these are, and who writes the rationales of ``--reasons``; all of them are the model
    itself unless the user names others."""

    generate: int | None = setting(
        None,
        "From a constitution alone: answer so many of SOURCE's prompts, revise each answer by a principle, and learn what "
        "the critic says of both, as far as it says the same in both orders.",
        panel=GENERATING,
        least=1,
    )
    policy: str | None = setting(None, "Who answers the prompts; by default the model.", panel=GENERATING, path=True)
    reviser: str | None = setting(
        None, "Who revises; by default who answers, and for a lab model lab:reviser.", panel=GENERATING, path=True
    )
    drawing: SamplingConfig = nested(Revisions)
    critic: CriticConfig = nested(CriticConfig, without=("mode",), rename={"labels": "critic_labels"})


@dataclass(frozen=True, kw_only=True)
class GeneratedConfig:
    """train: how the critic is trained, with its pairs as ``source``; with ``generate``, prompts."""

    train: TrainConfig = nested(TrainConfig)
    generation: Generation = nested(Generation)

    def check(self, given: Collection[str]) -> None:
        """Raises UsageError where a setting is ``given`` that only plays a part with --generate or --reasons, which are not."""
        if self.generation.generate is not None:
            return
        asking = settings_of(CriticConfig).keys() | {"critic_labels", "critic_context"}
        others = [name for name in given if name not in asking]
        _check_unused(self.train, others, "it is for pairs that are made from a constitution; give --generate too")
        if not self.reasons:
            _check_unused(self.train, given, "it is for a critic that is asked before it learns; give --generate or --reasons")

    @property
    def reasons(self) -> bool:
        """Whether the critic learns to reason first."""
        return isinstance(self.train.loss, Critic) and self.train.loss.reasons

    @property
    def critic(self) -> CriticConfig:
        """Who is asked: the model itself, unless another is named. Raises UsageError for settings that do not go together."""
        critic = replace(self.generation.critic, models=self.generation.critic.models or (self.train.model,))
        if critic.orders != "both":
            raise UsageError(f"--orders {critic.orders}: --generate and --reasons keep what holds, and look in both orders")
        return critic

    def stages(self) -> tuple[SampleConfig, ReviseConfig]:
        """What is drawn and asked before training. Raises UsageError for settings that do not go together."""
        train, generation, critic = self.train, self.generation, self.critic
        if train.limit is not None:
            raise UsageError("--limit: --generate says how many of the prompts are taken")
        writer, folder = generation.policy or train.model, train.out.with_name(f"{train.out.name}-generated")
        sample = SampleConfig(
            source=train.source,
            model=writer,
            out=folder / "samples.jsonl",
            columns=train.columns,
            limit=generation.generate,
            seed=train.seed,
            drawing=generation.drawing,
            store=critic.store,
            overwrite=train.overwrite,
        )
        revise = ReviseConfig(
            source=str(sample.out),
            critic=critic,
            out=folder / "revised",
            reviser=generation.reviser or ("lab:reviser" if writer.partition(":")[0] == "lab" else writer),
            drawing=generation.drawing,
            overwrite=train.overwrite,
        )
        return sample, revise


def _check_unused(train: TrainConfig, given: Collection[str], why: str) -> None:
    own = settings_of(type(train))
    unused = [name for name in given if name not in own]
    if unused:
        raise UsageError(f"{flag(unused[0])}: {why}")


@cache
def generated_configuration() -> type[GeneratedConfig]:
    """The configuration of a critic that may be trained from a constitution alone."""
    train = configuration("critic")
    return make_dataclass(
        "CriticGenerated", [("train", train, nested(train))], bases=(GeneratedConfig,), frozen=True, kw_only=True
    )


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
