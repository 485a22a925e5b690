"""What ``rlaif label`` and ``rlaif revise`` are asked to do. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlaif.critic.config import CriticConfig
from rlaif.data.push import HubConfig
from rlaif.evaluate.config import Outcome
from rlaif.sample.config import COLUMNS, SamplingConfig
from rlaif.settings import nested, redefault, setting
from rlaif.tracking import TrackConfig

COPY = "Also put the run's files into storage, by URL, such as s3://bucket/folder."
INPUT, OUTPUT, REVISING = "Input", "Output", "How to revise"
Export = Literal[
    "unpaired", "rankings", "sft", "trl", "openrlhf", "axolotl", "llama-factory", "verl", "argilla", "label-studio"
]


@dataclass(frozen=True, kw_only=True)
class LabelConfig:
    """pairs: see ``critic.pairs``. policy: whom to sample responses from where rows have none. canaries: how many of the
    constitution's examples are mixed in, as a test of the critic."""

    source: str = setting(
        help="JSONL, JSON, CSV or Parquet (plain or gzipped), a folder, a URL (s3://…), or a datasets name.",
        metavar="ROWS",
        argument=True,
        path=True,
    )
    critic: CriticConfig = nested(CriticConfig, required=("critic", "constitution"))
    out: Path = setting(help="The run's folder.", panel=OUTPUT, resumable=True)
    pairs: str = setting(
        "all",
        "Of a row's responses: all, adjacent, N drawn pairs, or in rounds that look at the results so far, swiss or active "
        "(at most half of all pairs, for 8 responses).",
        panel=INPUT,
    )
    columns: str | None = setting(None, COLUMNS, panel=INPUT)
    limit: int | None = setting(None, "Only the first so many rows.", panel=INPUT, least=1)
    canaries: int = setting(0, "Mix in so many of the constitution's examples, as a test.", panel=INPUT, least=0)
    policy: str | None = setting(
        None, "A model to sample responses from where rows have none.", panel="Responses to sample", path=True
    )
    drawing: SamplingConfig = nested(SamplingConfig)
    export: tuple[Export, ...] = setting(
        (),
        "Also write unpaired, rankings or sft; or files for trl, openrlhf, axolotl, llama-factory, verl, argilla, label-studio "
        "(repeat for more).",
        panel=OUTPUT,
    )
    calibration: Path | None = setting(
        None, "Put the critic's probabilities right by this file of rlaif critic calibrate.", panel=INPUT
    )
    batch: bool = setting(
        False,
        "Ask through the batch API of OpenAI or Anthropic: half the price, within a day; the same command fetches.",
        panel="Critic",
        resumable=True,
    )
    require: tuple[str, ...] = setting(
        (),
        "Exit with 1 unless this holds of the labels, such as 'flips<0.3' or 'agreement>0.6' (repeat for more).",
        panel=OUTPUT,
        resumable=True,
    )
    track: str = redefault(TrackConfig, "track", "")
    push_to_hub: str = redefault(HubConfig, "push_to_hub", "")
    copy_to: str = setting("", COPY, panel=OUTPUT, resumable=True)
    overwrite: bool = setting(False, "Replace another run in --out.", panel=OUTPUT, resumable=True)


@dataclass(frozen=True, kw_only=True)
class Alone(SamplingConfig):
    """One response to a prompt, where it is compared with another model's."""

    samples: int = redefault(SamplingConfig, "samples", 1)


@dataclass(frozen=True, kw_only=True)
class WinRateConfig:
    """What ``rlaif evaluate win-rate`` is asked to do. model_a, model_b: a file of samples, or a model that is sampled.

    width: of the overall interval, at which no further pairs are judged; None judges them all.
    """

    model_a: str = setting(help="A: a file of rlaif sample, or a model or a training run's folder.", metavar="A", argument=True)
    model_b: str = setting(help="B: the same.", metavar="B", argument=True)
    out: Path = setting(help="The label run's folder; samples and pairs go beside it.", panel=OUTPUT)
    source: str | None = setting(None, "Prompts to answer, where A or B is a model.", panel=INPUT, path=True)
    limit: int | None = setting(None, "Only the first so many prompts.", panel=INPUT, least=1)
    width: float | None = setting(
        None, "Stop when the interval of the overall win rate is this narrow, such as 0.1.", panel=INPUT, above=0, below=1
    )
    gold: str | None = setting(
        None, "Labels of some of the pairs, such as rlaif annotate's, that correct the win rate.", panel=INPUT, path=True
    )
    critic: CriticConfig = nested(CriticConfig, without=("mode",), required=("critic", "constitution"))
    drawing: SamplingConfig = nested(Alone)
    outcome: Outcome = nested(Outcome)
    overwrite: bool = setting(False, "Replace another run in --out.", panel=OUTPUT)


@dataclass(frozen=True, kw_only=True)
class LadderConfig:
    """What ``rlaif evaluate ladder`` is asked to do.

    policies: files of samples, or models that are sampled; ``NAME=…`` gives one a name. budget: comparisons at most; None: 100
    for each policy. width: of every rating's interval, in points, at which no more is asked.
    """

    policies: tuple[str, ...] = setting(
        help="Two policies or more: files of rlaif sample, models or training runs' folders; NAME=… names one.",
        metavar="POLICY…",
        argument=True,
        path=True,
    )
    out: Path = setting(help="The label run's folder; samples and responses go beside it.", panel=OUTPUT)
    source: str | None = setting(None, "Prompts to answer, where a policy is a model.", panel=INPUT, path=True)
    limit: int | None = setting(None, "Only the first so many prompts.", panel=INPUT, least=1)
    budget: int | None = setting(
        None, "Comparisons at most; by default 100 for each policy.", panel=INPUT, least=1, resumable=True
    )
    width: float | None = setting(
        None,
        "Stop when the interval of every rating is this narrow, in points, such as 60.",
        panel=INPUT,
        above=0,
        resumable=True,
    )
    bootstrap: int = setting(
        0, "Intervals from so many resamplings of whole prompts (0: from the sandwich).", panel=OUTPUT, least=0
    )
    critic: CriticConfig = nested(CriticConfig, without=("mode",), required=("critic", "constitution"))
    drawing: SamplingConfig = nested(Alone)
    outcome: Outcome = nested(Outcome)
    overwrite: bool = setting(False, "Replace another run in --out.", panel=OUTPUT)


@dataclass(frozen=True, kw_only=True)
class Revisions(SamplingConfig):
    """How critiques and revisions are drawn: one of each at a time."""

    samples: int = setting(1, hidden=True)
    max_tokens: int = redefault(SamplingConfig, "max_tokens", 512)


@dataclass(frozen=True, kw_only=True)
class ReviseConfig:
    """reviser: who writes critiques and revisions; None is the (first) critic, and for a lab critic the lab's reviser.
    rounds: critiques and revisions of each response, one principle drawn for each."""

    source: str = setting(
        help="Rows with responses: a file, a folder or a datasets name.", metavar="ROWS", argument=True, path=True
    )
    critic: CriticConfig = nested(CriticConfig, without=("mode",), required=("critic", "constitution"))
    out: Path = setting(help="The run's folder.", panel=OUTPUT, resumable=True)
    columns: str | None = setting(None, COLUMNS, panel=INPUT)
    limit: int | None = setting(None, "Only the first so many rows.", panel=INPUT, least=1)
    reviser: str | None = setting(
        None,
        "Who criticises and revises; by default the (first) critic, for a lab critic lab:reviser.",
        panel=REVISING,
        path=True,
    )
    rounds: int = setting(1, "Critiques and revisions of each response, one principle drawn for each.", panel=REVISING, least=1)
    critique_shots: int = setting(0, "Show so many of a principle's examples that have a critique.", panel=REVISING, least=0)
    drawing: SamplingConfig = nested(Revisions)
    export: tuple[Export, ...] = setting(("sft",), "Forms to write besides the pairs.", panel=OUTPUT)
    track: str = redefault(TrackConfig, "track", "")
    push_to_hub: str = redefault(HubConfig, "push_to_hub", "")
    copy_to: str = setting("", COPY, panel=OUTPUT, resumable=True)
    overwrite: bool = setting(False, "Replace another run in --out.", panel=OUTPUT, resumable=True)
