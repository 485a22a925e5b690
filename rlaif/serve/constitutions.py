"""The constitutions that are served, each with its juries; an edited file takes effect without a restart.

The verdict store keeps answers by a principle's wording, so that after an edit only changed principles are asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from rlaif.api.judging import Order, Preference, Rating, compared, ranked, scored
from rlaif.constitution.load import load_constitution
from rlaif.constitution.types import Constitution
from rlaif.critic.config import CriticConfig
from rlaif.critic.jury import Jury
from rlaif.critic.store import VerdictStore
from rlaif.data.rows import Row
from rlaif.engines.base import Engine
from rlaif.errors import UsageError, warn
from rlaif.serve.config import ServeConfig
from rlaif.serve.metrics import Metrics
from rlaif.serve.queue import Queue, QueuedJury

T = TypeVar("T", Preference, Rating)
_Stamp = tuple[tuple[int, int], ...]


class UnknownConstitution(Exception):
    """A request names a constitution that is not served. The message says which are."""


class TooLarge(Exception):
    """A request would ask more questions than may ever wait. The message says how many."""


@dataclass
class Served:
    """A constitution at work. trouble: why the file as it is now cannot be used, so that the last good one goes on."""

    path: Path
    constitution: Constitution
    juries: Mapping[str, Jury | str]
    stamp: _Stamp
    trouble: str | None = None

    def jury(self, mode: str) -> Jury:
        """Raises UsageError where this server's settings have no such mode."""
        jury = self.juries[mode]
        if isinstance(jury, str):
            raise UsageError(f"this server cannot {mode} by its settings: {jury}")
        return jury


class Constitutions:
    """By name; the first is for requests that name none. Opens engines and store, which ``close`` gives back.

    Raises UsageError where a constitution or the critic cannot be used.
    """

    def __init__(self, config: ServeConfig, metrics: Metrics) -> None:
        self._critic, self._metrics = config.critic, metrics
        paths = [path for path in (config.critic.constitution, *config.also) if path is not None]
        config.critic.inputs()  # what speaks against the settings is said before a model is loaded
        loaded = [load_constitution(path) for path in paths]
        names = [constitution.name for constitution in loaded]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"--also: two constitutions have the name {twice[0]!r}, by which requests choose")
        self._engines: list[Engine] = config.critic.engines()
        self._store = VerdictStore(config.critic.store)
        self.queue = Queue(config.queue, all(getattr(engine, "piece", None) for engine in self._engines), metrics)
        self._served = {
            each.name: Served(path, each, self._juries(path), _stamp(each)) for path, each in zip(paths, loaded, strict=True)
        }
        self.default = names[0]

    @property
    def served(self) -> Sequence[Served]:
        return list(self._served.values())

    def named(self, name: str | None) -> Served:
        """Raises UnknownConstitution."""
        found = self._served.get(name or self.default)
        if found is None:
            raise UnknownConstitution(f"no constitution {name!r} is served; there are: {', '.join(self._served)}")
        return found

    async def compared(self, served: Served, rows: Sequence[Row]) -> list[Preference]:
        """Whether each row's first response is better than its second."""
        self._check(served, rows, pairs=True)
        return self._counted(served, await compared(served.jury("compare"), rows))

    async def scored(self, served: Served, rows: Sequence[Row]) -> list[Rating]:
        """How good each row's response is."""
        self._check(served, rows, pairs=False)
        return self._counted(served, await scored(served.jury("score"), rows))

    async def ranked(self, served: Served, rows: Sequence[Row]) -> list[Order]:
        """Which of each row's responses are better."""
        self._check(served, rows, pairs=True)
        orders = await ranked(served.jury("compare"), rows)
        for order in orders:
            self._counted(served, list(order.pairs.values()))
        return orders

    def reload(self) -> None:
        """Read anew the constitutions whose files have changed. One that cannot be used leaves the last good one at work."""
        for name, served in self._served.items():
            stamp = _stamp(served.constitution)
            if stamp == served.stamp:
                continue
            served.stamp = stamp
            try:
                constitution = load_constitution(served.path)
                if constitution.name != name:
                    raise UsageError(f"{served.path}: its name is now {constitution.name!r}; restart to serve it by that")
                juries = self._juries(served.path)
            except UsageError as error:
                served.trouble = str(error)
                self._metrics.reloads.labels(name, "refused").inc()
                warn(f"{name}: the edited file is not used, the last good one is: {error}")
                continue
            served.constitution, served.juries, served.trouble = constitution, juries, None
            served.stamp = _stamp(constitution)
            self._metrics.reloads.labels(name, "used").inc()
            warn(f"{name}: the edited file is used from now on ({constitution.digest})")

    async def close(self) -> None:
        """Give back the engines and the store."""
        async with AsyncExitStack() as exits:
            exits.callback(self._store.close)
            for engine in self._engines:
                exits.push_async_callback(engine.close)
            await self.queue.close()

    def _juries(self, path: Path) -> dict[str, Jury | str]:
        """By mode. Some settings go with comparisons alone: then, in place of a jury that scores, why there is none."""
        config = replace(self._critic, constitution=path)
        juries: dict[str, Jury | str] = {"compare": self._jury(config)}
        try:
            juries["score"] = self._jury(replace(config, mode="score"))
        except UsageError as error:
            juries["score"] = str(error)
        return juries

    def _jury(self, config: CriticConfig) -> Jury:
        return QueuedJury(config.critics(self._engines, self._store), queue=self.queue)

    def _check(self, served: Served, rows: Sequence[Row], pairs: bool) -> None:
        """Before anything is planned: n responses make n(n − 1)/2 pairs, and a small request may hold many of them."""
        config, principles = self._critic, len(served.constitution.principles)
        subjects = sum(len(row.responses) * (len(row.responses) - 1) // 2 if pairs else 1 for row in rows)
        asked = subjects * principles * (2 if pairs and config.orders == "both" else 1) * config.votes * len(self._engines)
        if asked > self.queue.most:
            raise TooLarge(
                f"this would ask the critic up to {asked:,} questions; at most {self.queue.most:,} may wait (--queue)"
            )

    def _counted(self, served: Served, results: list[T]) -> list[T]:
        for result in results:
            for verdict in result.principles.values():
                self._metrics.verdict(served.constitution.name, verdict)
        return results


def _stamp(constitution: Constitution) -> _Stamp:
    """What changes when one of the constitution's files does: their times and sizes; 0 for one that is gone."""
    stamps = []
    for source in constitution.sources:
        try:
            stat = Path(source).stat()
            stamps.append((stat.st_mtime_ns, stat.st_size))
        except OSError:
            stamps.append((0, 0))
    return tuple(stamps)
