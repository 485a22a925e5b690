"""A command from a configuration: its flags, ``--config FILE``, ``--print-config``."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Collection, Sequence
from dataclasses import MISSING
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

import typer
from typer.core import TyperCommand

from rlaif.settings import Setting, configure, flag, optional, settings_of

T = TypeVar("T")
SHARED = "Configuration file"


class Command(TyperCommand):
    """A command whose ``--help`` stands beside ``--config`` where there is one, so that it has no box of its own."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)
        if option is not None and any(parameter.name == "config" for parameter in self.params):
            option.rich_help_panel = SHARED  # where typer looks for it
        return option


def option(name: str, kind: Any, default: Any, text: str, panel: str = SHARED, **more: Any) -> Parameter:
    """A flag that belongs to the command alone, not to its configuration."""
    about = typer.Option(*_spelled(name, kind), help=text, rich_help_panel=panel, **more)
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, about])


def from_config(
    kind: type[T],
    work: Callable[..., None],
    command: str,
    own: Sequence[Parameter] = (),
    check: Callable[[T, Collection[str]], None] = lambda config, given: None,
) -> Callable[..., None]:
    """``work(config)`` as a command whose flags are the settings of ``kind``.

    command: its name, as in ``rlaif NAME``. own: flags that ``work`` takes as keywords besides. check: raises UsageError for a
        configuration of which the settings ``given`` by name do not go together.
    """

    def run(**given: Any) -> None:
        ctx: typer.Context = given.pop("ctx")
        file, shown = given.pop("config"), given.pop("print_config")
        extra = {item.name: given.pop(item.name) for item in own}
        typed = {name.rstrip("_"): value for name, value in given.items() if _typed(ctx, name)}
        if file is not None:
            from rlaif.config_file import read_config

            typed = {**read_config(file, kind), **typed}
        config = configure(kind, **typed)
        check(config, typed)
        if shown:
            from rlaif.config_file import dump_config

            typer.echo(dump_config(config, Path(), command), nl=False)
            return
        work(config, **extra)

    shared = [
        option("config", Path | None, None, "Settings in YAML; a flag wins over the file.", metavar="FILE.yaml"),
        option("print_config", bool, False, "Print the settings that the command would run with, as YAML."),
    ]
    context = Parameter("ctx", Parameter.KEYWORD_ONLY, annotation=typer.Context)
    run.__signature__ = Signature([context, *parameters(kind), *own, *shared])  # type: ignore[attr-defined]
    return run


def parameters(kind: type) -> list[Parameter]:
    """One parameter for each setting. None is required here: a file may give what the command line does not."""
    return [_parameter(each) for each in settings_of(kind).values()]


def _parameter(each: Setting) -> Parameter:
    about = each.about
    text = about.help + (" (required)" if each.default is MISSING else "")
    kind, _ = optional(each.type)
    repeated = get_origin(kind) is tuple and get_args(kind)[-1] is Ellipsis
    inner = get_args(kind)[0] if repeated else kind
    item = str if get_origin(inner) is Literal else inner
    typed: Any = list[item] if repeated else kind  # type: ignore[valid-type]
    default = None if each.default is MISSING or (repeated and not each.default) else each.default
    more: dict[str, Any] = {"help": text, "metavar": about.metavar, "show_default": default not in (None, False, "", ())}
    if kind in (int, float):
        more |= {"min": about.least, "max": about.most}
    name = f"{each.name}_" if keyword.iskeyword(each.name) else each.name
    if about.argument:
        info: Any = typer.Argument(**more)
        return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[typed | None, info])
    info = typer.Option(*_spelled(each.name, kind), rich_help_panel=about.panel or None, **more)
    default = list(default) if repeated and default else default
    annotation = typed if kind is bool else typed | None
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, info])


def _spelled(name: str, kind: Any) -> tuple[str, ...]:
    """A true-or-false flag can be taken back, since a file may have set it."""
    return (f"{flag(name)}/--no-{flag(name)[2:]}",) if kind is bool and name not in _PLAIN else (flag(name),)


_PLAIN = ("print_config", "dry_run")


def _typed(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")


DRY_RUN = option("dry_run", bool, False, "Say what would be drawn and asked, and what it would cost; do nothing.")
