"""How responses are drawn from a policy: the settings of every command that samples. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rlaif.critic.config import STORE
from rlaif.engines.config import EngineConfig
from rlaif.engines.drawing import Source
from rlaif.settings import nested, redefault, setting

if TYPE_CHECKING:
    from rlaif.engines.base import Engine, Sampling

PANEL = "Responses to sample"
COLUMNS = "The source's own names of columns: prompt=ask,chosen=good,… (docs/rows.md)."
PROMPTS = "Prompts: JSONL, JSON, CSV or Parquet (plain or gzipped), a folder, or a datasets name."


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """samples: responses per prompt. engine: what the policy runs on."""

    samples: int = setting(2, "Responses per prompt.", panel=PANEL, least=1)
    temperature: float = setting(1.0, "Of the sampled texts, at most 2; 0 is greedy.", panel=PANEL, least=0, most=2)
    top_p: float = setting(1.0, "Draw from the likeliest tokens that hold this probability.", panel=PANEL, least=0.01, most=1)
    max_tokens: int = setting(256, "Longest sampled text.", panel=PANEL, least=1)
    generation_config: Source = setting(
        "neutral",
        "neutral: from the model's own distribution; model: by its generation_config.json too (top-k, top-p, min-p and "
        "repetition penalty; of two top-p the smaller).",
        panel=PANEL,
    )
    engine: EngineConfig = nested(EngineConfig)

    def sampling(self, seed: int) -> Sampling:
        """What an engine is told."""
        from rlaif.engines.base import Sampling

        return Sampling(self.max_tokens, self.temperature, self.top_p, self.samples, seed)

    def open(self, model: str, others: int = 0) -> Engine:
        """The policy's engine. others: models besides, which share a GPU's memory with it."""
        return replace(self.engine.sharing(1 + others), model=model, generation_config=self.generation_config).open()


@dataclass(frozen=True, kw_only=True)
class Several(SamplingConfig):
    """As many responses to a prompt as comparisons want, where nothing else is done with them."""

    samples: int = redefault(SamplingConfig, "samples", 4)


@dataclass(frozen=True, kw_only=True)
class SampleConfig:
    """What ``rlaif sample`` is asked to do."""

    source: str = setting(help=PROMPTS, metavar="PROMPTS", argument=True, path=True)
    model: str = setting(
        help="A model's path or hub id, a training run's folder, http://… base URLs, or lab:policy.", panel=PANEL, path=True
    )
    out: Path = setting(help="The rows with their responses; failures go to NAME.failures.jsonl beside it.", panel=PANEL)
    columns: str | None = setting(None, COLUMNS, panel=PANEL)
    limit: int | None = setting(None, "Only the first so many rows.", panel=PANEL, least=1)
    seed: int = setting(0, "Another seed, other responses.", panel=PANEL)
    drawing: SamplingConfig = nested(Several)
    store: Path = setting(STORE, "Where answers are kept, so that none is asked twice.", panel=PANEL, resumable=True)
    overwrite: bool = setting(False, "Replace other samples, or another file, at --out.", panel=PANEL, resumable=True)

    @property
    def failures(self) -> Path:
        """The rows that were not sampled, beside ``out``."""
        return self.out.with_name(f"{self.out.stem}.failures.jsonl")
