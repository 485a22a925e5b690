"""What ``rlaif evaluate`` is asked to do. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlaif.critic.config import CriticConfig
from rlaif.engines.config import EngineConfig
from rlaif.sample.config import COLUMNS, SamplingConfig
from rlaif.settings import nested, redefault, setting
from rlaif.train.config import Prediction

INPUT, OUTPUT, MODEL = "Input", "Output", "Reward model"
WORDING, SAMENESS = "Other wordings", "When answers are the same"
BY = "A row for each value of this source column."


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Where the figures go besides the terminal, and what they must be."""

    json: Path | None = setting(None, "Also write the figures to this file.", panel=OUTPUT, resumable=True)
    require: tuple[str, ...] = setting(
        (),
        "Exit with 1 unless this holds, such as 'agreement>0.6' (docs/evaluate.md has the names; NAME.low and NAME.high are an "
        "interval's ends; repeat for more).",
        panel=OUTPUT,
        resumable=True,
    )


@dataclass(frozen=True, kw_only=True)
class AgreementConfig:
    """What ``rlaif evaluate agreement`` is asked to do. critic, out, columns and limit are for judging a file."""

    source: str = setting(
        help="A label run's folder, or known preferences: a file or a datasets name (pairs, or a benchmark's).",
        metavar="SOURCE",
        argument=True,
        path=True,
    )
    by: str | None = setting(None, BY, panel=INPUT)
    gold: str | None = setting(
        None, "Labels from these rows, such as rlaif annotate's, in place of the source's own.", panel=INPUT, path=True
    )
    out: Path | None = setting(None, "For a file: the label run's folder.", panel=OUTPUT)
    columns: str | None = setting(None, f"For a file: {COLUMNS[0].lower()}{COLUMNS[1:]}", panel=INPUT)
    limit: int | None = setting(None, "For a file: only the first so many rows.", panel=INPUT, least=1)
    critic: CriticConfig = nested(CriticConfig)
    outcome: Outcome = nested(Outcome)


@dataclass(frozen=True, kw_only=True)
class RewardModelConfig:
    """What ``rlaif evaluate reward`` is asked to do. prediction, penalty: see ``train.predict.combine``."""

    model: str = setting(
        help="A reward model's folder or hub id; several, comma-separated, are one ensemble.",
        metavar="MODEL",
        argument=True,
        path=True,
    )
    source: str = setting(
        help="Rows with known preferences: pairs, ratings, or a benchmark's file.", metavar="ROWS", argument=True, path=True
    )
    out: Path = setting(help="The run's folder.", panel=OUTPUT)
    by: str | None = setting(None, BY, panel=INPUT)
    columns: str | None = setting(None, COLUMNS, panel=INPUT)
    limit: int | None = setting(None, "Only the first so many rows.", panel=INPUT, least=1)
    prediction: Prediction = setting("mean", "How an ensemble's members become one score.", panel=MODEL)
    penalty: float = setting(0.5, "uncertainty: times the members' variance.", panel=MODEL, least=0)
    trust_remote_code: bool = redefault(EngineConfig, "trust_remote_code", False)
    seed: int = setting(0, "Of the simulations of a calibrated model.", panel=INPUT)
    outcome: Outcome = nested(Outcome)
    overwrite: bool = setting(False, "Replace another run in --out.", panel=OUTPUT, resumable=True)


@dataclass(frozen=True, kw_only=True)
class ConsistencyConfig:
    """What ``rlaif evaluate consistency`` is asked to do.

    rewordings: made by ``reworder`` for prompts that bring none. same: how two answers are told to be the same. critic: who
    tells it, with ``critic``.
    """

    model: str = setting(
        help="The policy: a model's path or hub id, a training run's folder, http://… base URLs, or lab:policy.",
        metavar="MODEL",
        argument=True,
        path=True,
    )
    source: str = setting(
        help="Prompts; a column rewordings may hold a list of other ways to ask.", metavar="PROMPTS", argument=True, path=True
    )
    out: Path = setting(help="The run's folder.", panel=OUTPUT)
    by: str | None = setting(None, BY, panel=INPUT)
    columns: str | None = setting(None, COLUMNS, panel=INPUT)
    limit: int | None = setting(None, "Only the first so many prompts.", panel=INPUT, least=1)
    reworder: str | None = setting(
        None, "A model that rewords the prompts that bring no rewordings of their own.", panel=WORDING, path=True
    )
    rewordings: int = setting(2, "With --reworder: other wordings of each prompt.", panel=WORDING, least=1)
    same: Literal["exact", "verifier", "critic"] = setting(
        "exact",
        "When two answers are the same: exact text but for case, space and punctuation; equal values of --verifier; or what "
        "--critic says.",
        panel=SAMENESS,
    )
    answer: str | None = setting(
        None, "exact: a regular expression that finds the answer in a response; its last match counts.", panel=SAMENESS
    )
    verifier: str | None = setting(
        None, "verifier: FILE.py:function, or rlaif.rl.rewards.checks:NAME.", panel=SAMENESS, path=True
    )
    drawing: SamplingConfig = nested(SamplingConfig)
    critic: CriticConfig = nested(
        CriticConfig,
        without=(
            *("mode", "constitution", "aggregate", "shots", "labels", "reasons", "reasons_tokens", "thinking", "clamp"),
            *("votes", "votes_temperature", "max_failure_rate", "price", "max_cost"),
        ),
    )
    outcome: Outcome = nested(Outcome)
    overwrite: bool = setting(False, "Replace another run in --out.", panel=OUTPUT, resumable=True)
