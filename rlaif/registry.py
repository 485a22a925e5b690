"""What can come from outside of the package: engines, feedback modes, losses, estimators, reward sources, samplers.

A name is one of ours, one that an installed package registers as an entry point, or ``module:Name``; the module is installed,
or in the working folder.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from rlaif.errors import UsageError

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class Registry(Mapping[str, Any]):
    """Names to objects, each imported when it is first asked for.

    kind: what they are, for messages. flag: where the user names one. group: the entry points' group. own: our names, each with
    the ``module:Name`` where the object is.
    """

    def __init__(self, kind: str, flag: str, group: str, own: Mapping[str, str]) -> None:
        self.kind, self.flag, self.group = kind, flag, group
        self._own = dict(own)

    def __getitem__(self, name: str) -> Any:
        """Raises UsageError for a name that is not known, and for one whose object cannot be imported."""
        if name in self._own:
            return _load(self._own[name])
        if name in self._installed:
            return self._imported(name, lambda: self._installed[name].load())
        if _REFERENCE.fullmatch(name):
            if (folder := str(Path.cwd())) not in sys.path:  # last, so that nothing there hides an installed module
                sys.path.append(folder)
            return self._imported(name, lambda: _load(name))
        from rlaif.constitution.problems import nearest

        known = list(self)
        raise UsageError(
            f"{self.flag} {name}: no such {self.kind}; expected one of {', '.join(known)}, or module:Name{nearest(name, known)}"
        )

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in self._installed if name not in self._own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._installed or (isinstance(name, str) and bool(_REFERENCE.fullmatch(name)))

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=self.group)}

    def _imported(self, name: str, load: Any) -> Any:
        try:
            return load()
        except Exception as error:  # of a user's module anything may come
            why = str(error) if isinstance(error, ImportError | AttributeError) else f"{type(error).__name__}: {error}"
            raise UsageError(f"{self.flag} {name}: cannot be imported: {why}") from error


def _load(reference: str) -> Any:
    module, _, name = reference.partition(":")
    return getattr(import_module(module), name)
