"""Whom to ask, by what, and how: the critic's settings, the same in every command that has a critic. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rlaif.constitution.types import Aggregate
from rlaif.critic.modes import MODES
from rlaif.critic.modes.base import Mode, Orders
from rlaif.engines.config import EngineConfig
from rlaif.engines.spending import share
from rlaif.errors import UsageError
from rlaif.settings import flag, nested, setting

if TYPE_CHECKING:
    from rlaif.constitution import Constitution
    from rlaif.critic.ask import Critic
    from rlaif.critic.judge import Judge
    from rlaif.critic.store import VerdictStore
    from rlaif.critic.templates import Form, Template
    from rlaif.engines.base import Engine

PANEL, REASONS = "Critic", "Critic's reasons"
Labels = Literal["logprobs", "sampled"]
STORE = Path("runs/verdicts.sqlite")


@dataclass(frozen=True, kw_only=True)
class CriticConfig:
    """models: the critic, or the critics of a jury, whose mean judges. engine: what each runs on.

    orders: ``both``, or one order of a pair's responses, drawn by the seed (``ba``: the other one): half of the calls, and all
        of the position bias.
    shots: examples of the principle shown before each question. reasons: the critic writes a rationale before its label;
        with ``votes``, several sampled ones, whose labels' mean counts. clamp: the least and greatest p of a reasoned label.
    labels: where they are read from. ``sampled`` is for critics that give no log-probabilities: of ``votes`` texts, each is a
        label or nothing, and the share of each label stands in for its probability.
    min_mass: least probability on the labels; below it there is no verdict.
    price, max_cost: see ``engines.spending``; the limit holds for all critics together, and for all starts of a run.
    """

    models: tuple[str, ...] = setting(
        (),
        "A model's path or hub id, http://… base URLs (comma-separated, #model to name one), litellm:PROVIDER/MODEL, lab, or "
        "script:FILE. "
        "Repeat for a jury: the mean of its critics judges.",
        name="critic",
        panel=PANEL,
        path=True,
    )
    constitution: Path | None = setting(
        None, "The principles: a YAML file, or a shipped constitution's name.", metavar="FILE|NAME", panel=PANEL, shipped=True
    )
    mode: str = setting(
        "compare",
        "compare pairs, score single responses, or rank all of a row's; or module:Name.",
        panel=PANEL,
        known=lambda: MODES,
    )
    aggregate: Aggregate | None = setting(None, "weighted, sampled or worst, in place of the constitution's.", panel=PANEL)
    orders: Orders = setting(
        "both",
        "both, or one order of each pair, drawn by the seed (ab; ba is the other): half the calls.",
        panel=PANEL,
    )
    prompts: Path | None = setting(None, "Folder of prompt templates in place of the shipped.", panel=PANEL)
    shots: int = setting(0, "Show so many of a principle's examples before each question.", panel=PANEL, least=0)
    labels: Labels = setting(
        "logprobs",
        "logprobs, or sampled: from texts that are labels alone, for servers without log-probabilities; their share in --votes "
        "texts is the probability.",
        panel=PANEL,
    )
    min_mass: float = setting(0.1, "Least probability on the labels; below, no verdict.", panel=PANEL, least=0, most=1)
    max_failure_rate: float = setting(
        0.2, "Past this share of failed verdicts, stop.", panel=PANEL, least=0, most=1, resumable=True
    )
    price: str | None = setting(
        None,
        "IN,OUT: dollars for a million tokens that the critic reads and writes; by default litellm's table.",
        panel=PANEL,
        resumable=True,
    )
    max_cost: float | None = setting(
        None, "Dollars at which the run stops; the same command with more continues.", panel=PANEL, above=0, resumable=True
    )
    store: Path = setting(STORE, "Where answers are kept, so that none is asked twice.", panel=PANEL, resumable=True)
    seed: int = setting(0, "Of everything that is drawn at random.", panel=PANEL, least=0, most=2**32 - 1)
    reasons: bool = setting(False, "Have the critic reason first, then compare.", panel=REASONS)
    reasons_tokens: int = setting(512, "Longest rationale.", panel=REASONS, least=1)
    thinking: int = setting(
        0,
        "Have the critic think first, within so many tokens; then its label is read, whether it came to an end or not.",
        panel=REASONS,
        least=0,
    )
    clamp: tuple[float, float] | None = setting(None, "With --reasons: the least and greatest p, such as .4 .6.", panel=REASONS)
    votes: int = setting(
        1,
        "With --reasons: sample so many rationales, take the mean. With --labels sampled: texts for each question.",
        panel=REASONS,
        least=1,
    )
    votes_temperature: float = setting(0.7, "Of sampled rationales; a single one is greedy.", panel=REASONS, least=0, most=2)
    engine: EngineConfig = nested(EngineConfig, rename={"context": "critic_context"})

    def inputs(self) -> tuple[Constitution, Template]:
        """The constitution and the prompt template. Raises UsageError for settings that do not go together."""
        from rlaif.constitution.load import load_constitution
        from rlaif.critic.templates import load_template

        mode: Mode[Any] = MODES[self.mode]
        self._check(mode)
        if self.constitution is None:
            raise UsageError("--constitution is missing: the principles to judge by, in YAML, or a shipped constitution's name")
        template = load_template(self.form, self.prompts)
        constitution = load_constitution(self.constitution)
        if self.shots and not any(principle.examples for principle in constitution.principles):
            raise UsageError(f"--shots: no principle of {self.constitution} has examples")
        return constitution, template

    def engines(self, others: int = 0) -> list[Engine]:
        """Each critic's engine. others: models besides, which share a GPU's memory with these.

        Raises UsageError where one cannot be opened, or cannot tell the template's labels apart.
        """
        from rlaif.critic.templates import fitted, load_template

        models = list(dict.fromkeys(self.models))
        if not models:
            raise UsageError("--critic is missing: who judges? a model's path or hub id, http://… URLs, lab, or script:FILE")
        shared = self.engine.sharing(len(models) + others)
        engines = [replace(shared, model=model).open() for model in models]
        fitted(load_template(self.form, self.prompts), engines)
        share(engines, self.price, self.max_cost)
        return engines

    def judge(self, constitution: Constitution, template: Template, identity: str) -> Judge:
        """Asks and reads by these settings. identity: of the critic's engine."""
        from rlaif.critic.judge import Judge
        from rlaif.critic.sampled import MOST_TOKENS, named
        from rlaif.engines.base import Sampling

        temperature = self.votes_temperature if self.votes > 1 else 0.0
        drawn = None  # by default labels are read from log-probabilities
        if self.labels == "sampled":  # one text after each rationale, else all votes after the question
            drawn = Sampling(MOST_TOKENS, temperature=1.0, n=1 if self.reasons else self.votes, seed=self.seed)
        return Judge(
            constitution,
            template,
            named(identity, drawn),
            self.aggregate or constitution.aggregate,
            self.orders,
            self.min_mass,
            self.seed,
            shots=self.shots,
            reasons=Sampling(self.thinking, 0.0, seed=self.seed, thinking=True)
            if self.thinking
            else Sampling(max_tokens=self.reasons_tokens, temperature=temperature, seed=self.seed),
            votes=self.votes if self.reasons else 1,
            clamp=self.clamp or (0.0, 1.0),
            sampled=drawn,
            thinking=self.thinking,
        )

    def critics(self, engines: Sequence[Engine], store: VerdictStore) -> tuple[Critic, ...]:
        """The critics, one for each engine, all of whom are asked on the same scale."""
        from rlaif.critic.ask import Critic
        from rlaif.critic.templates import fitted

        constitution, template = self.inputs()
        template = fitted(template, engines)
        return tuple(Critic(engine, self.judge(constitution, template, engine.identity), store) for engine in engines)

    @property
    def form(self) -> Form:
        """Of the prompt template that is asked. Raises UsageError where ``reasons`` are wanted of a mode that has none."""
        mode: Mode[Any] = MODES[self.mode]
        form = mode.reasons if self.reasons else mode.form
        if form is None:
            raise UsageError(f"--reasons needs {modes_with('reasons')}")
        return form

    def _check(self, mode: Mode[Any]) -> None:
        defaults = {item.name: item.default for item in fields(self)}

        def given(name: str) -> bool:
            return bool(getattr(self, name) != defaults[name])

        for name in ("shots", "orders", "min_mass"):
            if given(name) and name not in mode.settings:
                value = f" {getattr(self, name)}" if name == "orders" else ""
                raise UsageError(f"{flag(name)}{value} needs {modes_with(name)}")
        sampled = self.labels == "sampled"
        for name, used, needed, having in (
            ("shots", self.shots > 0, "no --reasons: examples come without any", not self.reasons),
            ("reasons_tokens", given("reasons_tokens"), "--reasons", self.reasons),
            ("votes_temperature", given("votes_temperature"), "--votes 2 or more", self.votes > 1),
            ("labels", sampled, modes_with("min_mass"), "min_mass" in mode.settings),
            ("thinking", self.thinking > 0, modes_with("min_mass"), "min_mass" in mode.settings),
            ("thinking", self.thinking > 0, "no --reasons: thoughts are reasons", not self.reasons),
            ("votes", self.votes > 1, "--reasons or --labels sampled: else all votes are the same", self.reasons or sampled),
            ("votes", self.votes > 1, "--votes-temperature above 0", self.votes_temperature > 0),
            ("votes_temperature", given("votes_temperature"), "--reasons: labels are drawn at temperature 1", self.reasons),
            ("clamp", self.clamp is not None, "--reasons: only reasoned labels are too sure of themselves", self.reasons),
        ):
            if used and not having:
                value = " sampled" if name == "labels" else ""
                raise UsageError(f"{flag(name)}{value} needs {needed}")
        low, high = self.clamp or (0.0, 1.0)
        if not (0 <= low < 0.5 and abs(low + high - 1) < 1e-9):
            raise UsageError(
                f"--clamp {low:g} {high:g}: expected two numbers that sum to 1, such as .4 .6: the order of a pair's responses "
                "is arbitrary, so the bounds must be symmetric"
            )


def modes_with(setting: str) -> str:
    """The modes that a setting means something in, as the user names them."""
    meant = [name for name, mode in MODES.items() if setting in mode.settings]
    return f"--mode {' or '.join(meant)}"
