"""Packages that are functions too: ``rlaif.label(…)`` beside ``rlaif.label.run``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any

FUNCTIONS = {"rlaif.label": "rlaif.api.labelling", "rlaif.train": "rlaif.api.training"}
"""Package to the module whose function of the package's name it calls."""


class CallablePackage(ModuleType):
    """The class of such a package (``sys.modules[__name__].__class__ = CallablePackage``)."""

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self._function(*args, **settings)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self._function)

    @property
    def _function(self) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(import_module(FUNCTIONS[self.__name__]), self.__name__.rpartition(".")[2])
        return function
