"""A command's flags from a dataclass: the fields' names, types and defaults, beside a help text for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, fields
from inspect import Parameter, Signature
from typing import Annotated, Any, get_type_hints

import typer


def panel(name: str) -> Callable[..., Any]:
    """``panel(NAME)(TEXT, min=…)``: an option of that panel in the help."""
    return lambda text, **more: typer.Option(help=text, rich_help_panel=name, **more)


def parameters(config: type, helps: Mapping[str, Any]) -> list[Parameter]:
    """One parameter for each entry of ``helps`` (field → a typer option or argument); without a default it is required.

    A true-or-false field that is false by default gets no ``--no-…`` form: there would be nothing to take back.
    """
    types, defaults = get_type_hints(config), {item.name: item.default for item in fields(config)}
    found = []
    for name, info in helps.items():
        if defaults[name] is False:
            info.param_decls = ("--" + name.replace("_", "-"),)
        default = Parameter.empty if defaults[name] is MISSING else defaults[name]
        found.append(Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[types[name], info]))
    return found


def with_flags(function: Callable[..., None], flags: Iterable[Parameter]) -> Callable[..., None]:
    """``function``, which takes keywords, as a command that has just these flags."""
    function.__signature__ = Signature(list(flags))  # type: ignore[attr-defined]
    return function
