"""What ``rlaif compare`` and ``rlaif lab compare`` are asked to do. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rlaif.compare.recipes import METHODS
from rlaif.critic.config import CriticConfig
from rlaif.errors import UsageError
from rlaif.sample.config import COLUMNS, SamplingConfig, Several
from rlaif.settings import nested, redefault, setting, verify

DATA, METHOD, JUDGING, OUTPUT = "Data and model", "Methods", "Judging the results", "Output"
LAB = Path(__file__).with_name("lab.yaml")
"""Settings that suit the lab's policy, in the form of ``settings``."""


@dataclass(frozen=True, kw_only=True)
class CompareConfig:
    """methods: none given are all that can be run. seeds: so many, from ``--seed`` on. budget: responses of the policy that
    each method learns from; half as many pairs of them are labelled.

    safety: principles that make the column of that name, and one of the two reward models of the two-model method; all others
        are helpfulness.
    judge: who scores the trained models' answers; none given is the critic.
    """

    in_lab: ClassVar[bool] = False
    """Whether the rows are the lab's own, and gold judges where no judge is named."""

    source: str = setting(
        help="Any file or dataset of rows: prompts, or pairs with known preferences (docs/rows.md).",
        metavar="ROWS",
        argument=True,
        path=True,
    )
    model: str = setting(help="What every method starts from: a model's path or hub id.", panel=DATA, path=True)
    out: Path = setting(help="The comparison's folder; every step has a folder in it.", panel=OUTPUT, resumable=True)
    methods: tuple[str, ...] = setting(
        (),
        f"Of {', '.join(METHODS)} (repeat for more). By default all that the rows allow.",
        panel=METHOD,
        known=lambda: METHODS,
        resumable=True,
    )
    seeds: int = setting(3, "Each with prompts, samples and orders of its own.", panel=METHOD, least=1, resumable=True)
    budget: int = setting(2048, "Responses of the policy that each method learns from.", panel=METHOD, least=8)
    settings: Path | None = setting(
        None,
        "YAML of settings by step: `dpo: {beta: 0.2}`; `train` and `on-policy` stand for several.",
        panel=METHOD,
        resumable=True,
    )
    verifier: str | None = setting(
        None, "For reft: FILE.py:function, or rlaif.rl.rewards.checks:NAME.", panel=METHOD, path=True
    )
    safety: tuple[str, ...] = setting(
        ("harmless",), "Principles that are safety; the others are helpfulness (repeat for more).", panel=METHOD
    )
    critic: CriticConfig = nested(
        CriticConfig, without=("mode",), rename={"labels": "critic_labels"}, required=("critic", "constitution")
    )
    drawing: SamplingConfig = nested(Several)
    columns: str | None = setting(None, COLUMNS, panel=DATA)
    limit: int | None = setting(None, "Only the first so many rows.", panel=DATA, least=1)
    held_out: int = setting(200, "Prompts held out, which the trained models answer twice.", panel=JUDGING, least=2)
    judge: tuple[str, ...] = setting(
        (), "Who scores these answers, as --critic names a model; by default the critic.", panel=JUDGING, path=True
    )
    overwrite: bool = setting(False, "Replace another comparison in --out.", panel=OUTPUT, resumable=True)

    def __post_init__(self) -> None:
        verify(self)
        if self.drawing.samples < 2:
            raise UsageError(f"--samples {self.drawing.samples}: to say which response is better takes two")
        if self.budget < self.drawing.samples:
            raise UsageError(f"--budget {self.budget}: is not enough for one prompt's --samples {self.drawing.samples}")
        if "reft" in self.methods and not self.verifier:
            raise UsageError("--methods reft: its reward is a verifier: give --verifier")

    @property
    def settings_file(self) -> Path | None:
        """``settings``; in the lab what suits its policy, where none is given."""
        return self.settings or (LAB if self.in_lab else None)

    @property
    def by_gold(self) -> bool:
        """Whether the lab's gold judges the results."""
        return self.in_lab and not self.judge


@dataclass(frozen=True, kw_only=True)
class LabCritic(CriticConfig):
    """The lab's own."""

    models: tuple[str, ...] = redefault(CriticConfig, "models", ("lab",))
    constitution: Path | None = redefault(CriticConfig, "constitution", Path("lab"))


@dataclass(frozen=True, kw_only=True)
class LabSampling(Several):
    """The lab's replies are short."""

    max_tokens: int = redefault(Several, "max_tokens", 96)


@dataclass(frozen=True, kw_only=True)
class LabCompareConfig(CompareConfig):
    """The same in the lab, where gold knows what a good answer is."""

    in_lab: ClassVar[bool] = True

    source: str = setting("lab", hidden=True)
    model: str = redefault(CompareConfig, "model", "lab:policy")
    budget: int = redefault(CompareConfig, "budget", 1024)
    verifier: str | None = redefault(CompareConfig, "verifier", "rlaif.lab.verify:correct")
    critic: CriticConfig = nested(LabCritic, without=("mode",), rename={"labels": "critic_labels"})
    drawing: SamplingConfig = nested(LabSampling)
    columns: str | None = setting(None, hidden=True)
    limit: int | None = setting(None, hidden=True)
    judge: tuple[str, ...] = setting(
        (), "Who scores these answers, as --critic names a model; by default gold.", panel=JUDGING, path=True
    )
