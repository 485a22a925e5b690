"""A critic to ask from Python: ``rlaif.Critic``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar, overload

from rlaif.api.handle import Handle
from rlaif.api.inputs import constitution_of
from rlaif.api.judging import Order, Preference, Rating, compared, ranked, row_of, scored
from rlaif.constitution.types import Constitution
from rlaif.critic.config import CriticConfig
from rlaif.critic.jury import Jury
from rlaif.critic.store import VerdictStore
from rlaif.data.rows import Row
from rlaif.engines.base import Engine
from rlaif.errors import UsageError
from rlaif.settings import configure, nested

Text = str | Sequence[Mapping[str, Any]]
"""A prompt or a response: a text, or a list of messages with ``role`` and ``content``."""
T = TypeVar("T")


@dataclass(frozen=True)
class _Settings:
    critic: CriticConfig = nested(CriticConfig, without=("max_failure_rate",), required=("critic", "constitution"))


@dataclass
class _Held:
    config: CriticConfig
    engines: list[Engine]
    store: VerdictStore
    juries: dict[str, Jury] = field(default_factory=dict)

    def jury(self, mode: str) -> Jury:
        if mode not in self.juries:
            self.juries[mode] = Jury(replace(self.config, mode=mode).critics(self.engines, self.store))
        return self.juries[mode]


class Critic(Handle[_Held]):
    """Judges responses by a constitution, one at a time or many at once.

    Each method takes one prompt with its responses, or lists of as many prompts as responses, and then gives a list. A prompt
    is a text or a list of messages; so is a response. columns: what a row has besides, for principles with ``when``.

    ``mode`` says how ``compare`` and ``rank`` find out which is better: by comparing (``compare``, the default), by scoring
    each (``score``), or by one list of all (``rank``). The answers are kept in the verdict store, so that none is asked twice.

    Models are opened at the first call and given back by ``close``; the object can be used as a context manager, from several
    threads, where an event loop is running (or by ``acompare``, ``ascore``, ``arank``), and pickled.
    """

    def __init__(self, constitution: str | Path | Constitution, critic: str | Sequence[str], **settings: Any) -> None:
        """constitution: a path, a shipped constitution's name, or a ``Constitution``. critic: one, or several for a jury.
        settings: those of the critic in ``rlaif label``, by name.

        Raises UsageError for settings that do not go together; a model that cannot be opened is met at the first call.
        """
        super().__init__()
        self.constitution = constitution if isinstance(constitution, Constitution) else Constitution.load(constitution)
        named = self.constitution.sources[0] if self.constitution.sources else "constitution"
        self.config = configure(_Settings, constitution=named, critic=critic, **settings).critic

    @overload
    def compare(self, prompt: str, a: Text, b: Text, columns: Mapping[str, Any] | None = ...) -> Preference: ...
    @overload
    def compare(
        self, prompt: Sequence[Any], a: Sequence[Any], b: Sequence[Any], columns: Any = ...
    ) -> Preference | list[Preference]: ...
    def compare(self, prompt: Any, a: Any, b: Any, columns: Any = None) -> Any:
        """Is ``a`` better than ``b``? Both orders are asked unless ``orders`` says otherwise."""
        rows, one = _rows(prompt, _zipped(prompt, a, b), columns)
        return _first(self._run(lambda held: compared(held.jury(held.config.mode), rows)), one)

    async def acompare(self, prompt: Any, a: Any, b: Any, columns: Any = None) -> Any:
        """``compare``, to be awaited."""
        rows, one = _rows(prompt, _zipped(prompt, a, b), columns)
        return _first(await self._arun(lambda held: compared(held.jury(held.config.mode), rows)), one)

    @overload
    def score(self, prompt: str, response: Text, columns: Mapping[str, Any] | None = ...) -> Rating: ...
    @overload
    def score(self, prompt: Sequence[Any], response: Sequence[Any], columns: Any = ...) -> Rating | list[Rating]: ...
    def score(self, prompt: Any, response: Any, columns: Any = None) -> Any:
        """How good is the response by itself?"""
        rows, one = _rows(prompt, _zipped(prompt, response), columns)
        return _first(self._run(lambda held: scored(held.jury("score"), rows)), one)

    async def ascore(self, prompt: Any, response: Any, columns: Any = None) -> Any:
        """``score``, to be awaited."""
        rows, one = _rows(prompt, _zipped(prompt, response), columns)
        return _first(await self._arun(lambda held: scored(held.jury("score"), rows)), one)

    @overload
    def rank(self, prompt: str, responses: Sequence[Text], columns: Mapping[str, Any] | None = ...) -> Order: ...
    @overload
    def rank(self, prompt: Sequence[Any], responses: Sequence[Any], columns: Any = ...) -> Order | list[Order]: ...
    def rank(self, prompt: Any, responses: Any, columns: Any = None) -> Any:
        """Which of the responses are better? Of n, all n(n − 1)/2 pairs are compared."""
        rows, one = _rows(prompt, responses if _many(prompt) else [responses], columns)
        return _first(self._run(lambda held: ranked(held.jury(held.config.mode), rows)), one)

    async def arank(self, prompt: Any, responses: Any, columns: Any = None) -> Any:
        """``rank``, to be awaited."""
        rows, one = _rows(prompt, responses if _many(prompt) else [responses], columns)
        return _first(await self._arun(lambda held: ranked(held.jury(held.config.mode), rows)), one)

    def _open(self) -> _Held:
        with TemporaryDirectory(prefix="rlaif-") as temporary:
            config = replace(self.config, constitution=Path(constitution_of(self.constitution, Path(temporary), "critic")))
            config.inputs()
            held = _Held(config, config.engines(), VerdictStore(config.store))
            held.jury(config.mode)
            return held

    async def _give_back(self, held: _Held) -> None:
        for engine in held.engines:
            await engine.close()
        held.store.close()


def _many(prompt: Any) -> bool:
    """Whether these are several prompts: a list that is no list of messages."""
    return not isinstance(prompt, str) and not (prompt and isinstance(prompt[0], Mapping))


def _zipped(prompt: Any, *responses: Any) -> list[list[Any]]:
    """Each prompt's responses."""
    if not _many(prompt):
        return [list(responses)]
    if any(isinstance(some, str) or len(some) != len(prompt) for some in responses):
        raise UsageError(f"{len(prompt)} prompts: give as many responses, in lists")
    return [list(some) for some in zip(*responses, strict=True)]


def _rows(prompt: Any, responses: Sequence[Sequence[Any]], columns: Any) -> tuple[list[Row], bool]:
    """A row for each prompt, and whether there is but one and no list.

    Raises UsageError where a prompt or a response is none.
    """
    many = _many(prompt)
    prompts = list(prompt) if many else [prompt]
    extras = list(columns) if many and columns is not None else [columns] * len(prompts)
    if not len(prompts) == len(responses) == len(extras):
        raise UsageError(f"{len(prompts)} prompts: found responses to {len(responses)} and columns of {len(extras)}")
    rows = [
        row_of(number, asked, answers, extra)
        for number, (asked, answers, extra) in enumerate(zip(prompts, responses, extras, strict=True), 1)
    ]
    return rows, not many


def _first(results: list[T], one: bool) -> T | list[T]:
    return results[0] if one else results
