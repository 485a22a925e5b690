"""What a run would read and write: its first part is done, with made-up answers, in a folder that goes away."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from math import exp, log
from pathlib import Path
from tempfile import TemporaryDirectory

from rlaif import loops
from rlaif.critic.config import CriticConfig
from rlaif.critic.store import VerdictStore
from rlaif.data.parquet import write_parquet
from rlaif.data.rows import Row
from rlaif.data.write import JsonlWriter
from rlaif.engines.base import Choice, Engine, Failure, Generation, Prompt, Sampling
from rlaif.engines.roofline import Work
from rlaif.label.pipeline import Counts, Labeller, Sink

CALLS = 10_000
"""Calls that are rehearsed; of a larger run, what the others take is inferred from these."""
BLOCK = 16
"""Tokens of a block of vLLM's prefix cache on a GPU: a prompt's beginning is taken from the cache by whole blocks."""
LETTERS = 4
"""Of a token, in English."""


@dataclass(frozen=True)
class Rehearsal:
    """calls: answers made up. tokens: read for them. exact: by the model's own tokenizer, all of them. work: of each critic.
    store, files: bytes of the verdict store, and of the records as JSONL and Parquet; None where the made-up answers do not
    pass for real ones."""

    calls: int
    tokens: int
    exact: bool
    work: list[Work]
    store: int | None
    files: int | None

    def needed(self, times: float) -> dict[str, int | float | None]:
        """By so many times as much of the same: tokens that are computed, and bytes; None for what is not known."""
        found = {
            "computed": sum(work.computed for work in self.work) if self.exact else None,
            "store": self.store,
            "files": self.files,
        }
        return {name: None if value is None else round(times * value) for name, value in found.items()}


def rehearse(config: CriticConfig, pairs: str, engines: Sequence[Engine], rows: Iterable[Row]) -> Rehearsal:
    """What asking ``engines`` about ``rows`` takes, none of which has been judged. pairs: see ``critic.pairs``."""
    stands = [StandIn(engine) for engine in engines]
    counts = Counts()
    with TemporaryDirectory(prefix="rlaif-") as place:
        folder = Path(place)
        with ExitStack() as stack:
            store = stack.enter_context(VerdictStore(folder / "store.sqlite"))
            labeller = Labeller(config.critics(stands, store), pairs, max_failure_rate=1.0)
            for stand in stands:
                stand.labels, stand.drawn = labeller.jury.judge.template.choices, labeller.jury.judge.sampled
            preferences, failures, canaries, scores = (
                stack.enter_context(JsonlWriter(folder / f"{name}.jsonl"))
                for name in ("preferences", "failures", "canaries", "scores")
            )
            sink = Sink(preferences, failures, scores if labeller.jury.mode.scores else None, lambda _: None, canaries)
            loops.run(labeller.run(rows, sink, counts))
        for name in ("preferences", "scores"):
            if (folder / f"{name}.jsonl").stat().st_size:
                write_parquet(folder / f"{name}.jsonl", folder / f"{name}.parquet")
        written = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in (".jsonl", ".parquet"))
        stored = (folder / "store.sqlite").stat().st_size
    real = counts.failed == 0
    return Rehearsal(
        calls=sum(stand.calls for stand in stands),
        tokens=sum(stand.tokens for stand in stands),
        exact=all(stand.exact for stand in stands),
        work=[stand.work for stand in stands],
        store=stored if real else None,
        files=written if real else None,
    )


@dataclass
class StandIn:
    """In an engine's place: counts what that would read, and makes up answers of the size that a model's have.

    labels, drawn: of texts that are labels, if any are asked for. computed, looked: tokens that a prefix cache of blocks, from
    which nothing is dropped, does not hold, and pairs of such a token and one before it. written: tokens at most.
    """

    engine: Engine
    labels: Sequence[str] = ()
    drawn: Sampling | None = None
    identity: str = field(init=False)
    notes: tuple[str, ...] = field(init=False)
    calls: int = 0
    tokens: int = 0
    computed: int = 0
    looked: float = 0.0
    written: int = 0
    exact: bool = True
    _held: set[int] = field(default_factory=set)
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def __post_init__(self) -> None:
        self.identity, self.notes = self.engine.identity, self.engine.notes

    @property
    def work(self) -> Work:
        return Work(self.calls, self.computed, self.looked, self.written, self.tokens / max(1, self.calls))

    def check_choices(self, choices: Sequence[str]) -> None:
        self.engine.check_choices(choices)

    def count_tokens(self, prompt: Prompt) -> int:
        return self.engine.count_tokens(prompt)

    async def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> list[Choice | Failure]:
        return [self._choice(self._read(prompt, 1), choices) for prompt in prompts]

    async def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[list[Generation] | Failure]:
        return [self._texts(self._read(prompt, sampling.max_tokens), sampling) for prompt in prompts]

    async def close(self) -> None:
        pass

    def _read(self, prompt: Prompt, room: int) -> int:
        """The prompt's length in tokens, which are counted."""
        ids: list[int] | None = getattr(self.engine, "ids", lambda prompt, room: None)(prompt, room)
        length = self.engine.count_tokens(prompt) if ids is None else len(ids)
        held = 0 if ids is None else self._cached(ids)
        self.calls += 1
        self.tokens += length
        self.computed += length - held
        self.looked += (length**2 - held**2) / 2
        self.exact &= ids is not None
        return length

    def _cached(self, ids: Sequence[int]) -> int:
        """How many tokens are in the cache; those that are computed are put into it. The last is computed in any case.

        A block is named by all up to its end, so that one is held only where those before it are."""
        name, held = 0, 0
        for start in range(0, len(ids) - BLOCK + 1, BLOCK):
            name = hash((name, *ids[start : start + BLOCK]))
            if name in self._held and start + BLOCK < len(ids):
                held += BLOCK
            self._held.add(name)
        return held

    def _choice(self, length: int, choices: Sequence[str]) -> Choice:
        weights = [exp(self._random.gauss(0, 1)) for _ in choices]
        logprobs = [log(0.99 * weight / sum(weights)) for weight in weights]
        return Choice(tuple(logprobs), sum(map(exp, logprobs)), choices[logprobs.index(max(logprobs))], length)

    def _texts(self, length: int, sampling: Sampling) -> list[Generation]:
        self.written += sampling.n * sampling.max_tokens
        ids = tuple(self._random.randrange(1000, 100_000) for _ in range(sampling.max_tokens))
        logprobs = tuple(-self._random.random() for _ in ids)
        return [Generation(self._text(sampling), ids, logprobs, "stop", length) for _ in range(sampling.n)]

    def _text(self, sampling: Sampling) -> str:
        """A label where that is what is drawn; the k-th of a pattern's k-th alternatives; else prose of full length."""
        if sampling == self.drawn:
            return self._random.choice(list(self.labels))
        if sampling.pattern:
            number = count()
            plain = re.sub(r"\(([^)]*)\)", lambda found: found[1].split("|")[next(number)], sampling.pattern)
            return re.sub(r"\\(.)", r"\1", plain)
        return ("word " * sampling.max_tokens)[: LETTERS * sampling.max_tokens].strip()
