"""Settings: what a run can be told, each defined once, as a field of a configuration.

A configuration is a frozen dataclass. ``setting`` makes a field that a user can set: its type, its default, its bounds and its
help stand there and nowhere else. ``nested`` puts a configuration into another one. From these fields come the command line's
flags (``cli/flags.py``), the YAML form and its checks (``config_file.py``), and what ``run.json`` says.

Names are flat: a setting has one name, whichever configuration it is nested in, and is ``--its-name`` on the command line and
``its_name`` in YAML and Python. Where two nested configurations have a setting of the same name, one value sets both.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from operator import ge, gt, le, lt
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from rlaif.errors import UsageError

T = TypeVar("T")
_KEY = "rlaif"


@dataclass(frozen=True)
class About:
    """What is known of a setting beside its type and default.

    help: one sentence. panel: the box of ``--help`` that it stands in. least, most: bounds that are allowed themselves.
    above, below: bounds that are not. name: as the user writes it, where not as the field. metavar: for the help.
    argument: given by position and not as ``--name``. path: a text that may be, or hold, a path of a file or folder.
    shipped: a path that may also be the name of a shipped constitution.
    known: names that are allowed, read when they are needed.
    resumable: may differ between the two halves of a run that was stopped, because it does not shape the result.
    hidden: set by the program alone, never by the user.
    """

    help: str = ""
    panel: str = ""
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    name: str | None = None
    metavar: str | None = None
    argument: bool = False
    path: bool = False
    shipped: bool = False
    known: Callable[[], Collection[str]] | None = None
    resumable: bool = False
    hidden: bool = False


@dataclass(frozen=True)
class _Nested:
    kind: type
    without: frozenset[str]
    rename: Mapping[str, str]
    required: frozenset[str]


class Setting(NamedTuple):
    """One setting of a configuration, its nested ones included.

    path: the attributes that lead to it. default: ``MISSING`` where the user must give it.
    """

    name: str
    path: tuple[str, ...]
    type: Any
    default: Any
    about: About

    @property
    def flag(self) -> str:
        """As messages name it."""
        return self.name.upper() if self.about.argument else flag(self.name)


def flag(name: str) -> str:
    """``max_tokens`` as ``--max-tokens``."""
    return "--" + name.replace("_", "-")


def setting(default: Any = MISSING, help: str = "", **about: Any) -> Any:
    """A field that the user can set. about: see ``About``."""
    return field(default=default, metadata={_KEY: About(help, **about)})


def redefault(kind: type, name: str, default: Any) -> Any:
    """The field ``name`` of a base class, with another default."""
    return field(default=default, metadata=next(item for item in fields(kind) if item.name == name).metadata)


def nested(
    kind: type[T],
    *,
    without: Collection[str] = (),
    rename: Mapping[str, str] | None = None,
    required: Collection[str] = (),
) -> T:
    """A field that holds a configuration; its settings are the outer one's too.

    without: settings that are not, because the outer configuration decides them. rename: other names for some.
    required: settings that the user must give here.
    """
    about = _Nested(kind, frozenset(without), dict(rename or {}), frozenset(required))
    made: T = field(default_factory=kind, metadata={_KEY: about})
    return made


def settings_of(kind: type) -> Mapping[str, Setting]:
    """All settings of a configuration by name, those that must be given first, else in the order of the fields."""
    known: Mapping[str, Setting] = _settings_of(kind)
    return known


@cache
def _settings_of(kind: type) -> Mapping[str, Setting]:
    first: dict[str, Setting] = {}
    for each in _walk(kind):
        if not each.about.hidden:
            first.setdefault(each.name, each)
    ordered = sorted(first.values(), key=lambda each: each.default is not MISSING)
    return types.MappingProxyType({each.name: each for each in ordered})


def verify(config: Any) -> None:
    """Raises UsageError where a value of the configuration's own fields is not allowed."""
    for each in settings_of(type(config)).values():
        if len(each.path) == 1 and each.default is not MISSING:
            checked(each, getattr(config, each.path[0]))


def configure(kind: type[T], /, **given: Any) -> T:
    """The configuration that the settings ``given`` by name make; the others have their defaults.

    Raises UsageError for a name that is no setting, a setting that is missing, and a value that is not allowed.
    """
    known = settings_of(kind)
    for name in given:
        if name not in known:
            raise UsageError(f"{flag(name)}: no such setting{_nearest(name, known)}")
    for each in known.values():
        if each.default is MISSING and given.get(each.name) is None:
            raise UsageError(f"{each.flag} is missing: {each.about.help or 'it must be given'}")
    values = {name: checked(known[name], value) for name, value in given.items()}
    return _assemble(kind, values)


def flat(config: Any) -> dict[str, Any]:
    """The settings of a configuration by name, with their values."""
    values = {}
    for name, each in settings_of(type(config)).items():
        value = config
        for step in each.path:
            value = getattr(value, step)
        values[name] = value
    return values


def changed(config: T, **settings: Any) -> T:
    """The configuration with other values for some of its settings, by name."""
    return configure(type(config), **{**flat(config), **settings})


def resumable(kind: type) -> frozenset[str]:
    """Names of the settings that may differ between the two halves of a run that was stopped."""
    return frozenset(name for name, each in settings_of(kind).items() if each.about.resumable)


def checked(each: Setting, value: Any) -> Any:
    """``value`` in the setting's own type. Raises UsageError where it is not allowed."""
    try:
        value = _converted(each.type, value)
    except (TypeError, ValueError):
        raise UsageError(f"{each.flag} {value}: expected {expected(each.type)}") from None
    about = each.about
    for item in value if isinstance(value, tuple) else (value,):
        if about.known is not None and isinstance(item, str) and item not in (names := about.known()) and ":" not in item:
            raise UsageError(f"{each.flag} {item}: expected one of {', '.join(names)}{_nearest(item, names)}")
        if isinstance(item, int | float) and not isinstance(item, bool):
            for bound, holds, words in (
                (about.least, ge, "at least"),
                (about.most, le, "at most"),
                (about.above, gt, "greater than"),
                (about.below, lt, "less than"),
            ):
                if bound is not None and not holds(item, bound):
                    raise UsageError(f"{each.flag} {item}: must be {words} {bound:g}")
    return value


def optional(kind: Any) -> tuple[Any, bool]:
    """A type without its ``None``, and whether it had one."""
    if get_origin(kind) in (Union, types.UnionType):
        inner = [part for part in get_args(kind) if part is not type(None)]
        if len(inner) < len(get_args(kind)) and len(inner) == 1:
            return inner[0], True
    return kind, False


def expected(kind: Any) -> str:
    """A type in words."""
    kind, _ = optional(kind)
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        return f"a list of {expected(inner[0])}" if inner[-1] is Ellipsis else f"{len(inner)} values"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", Path: "a path"}
    return words.get(kind, str(kind))


def _converted(kind: Any, value: Any) -> Any:
    kind, maybe = optional(kind)
    if value is None and maybe:
        return None
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(value)
        return value
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        if inner[-1] is Ellipsis:
            items = [value] if isinstance(value, str | Path) else list(value)
            return tuple(_converted(inner[0], item) for item in items)
        items = list(value)
        if len(items) != len(inner):
            raise ValueError(value)
        return tuple(_converted(part, item) for part, item in zip(inner, items, strict=True))
    if kind is Path:
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind in (bool, int, float, str):
        if isinstance(value, Path) and kind is str:
            return str(value)
        if type(value) is not kind:
            raise TypeError(value)
    return value


def _walk(kind: type, without: Collection[str] = ()) -> Iterator[Setting]:
    hints = get_type_hints(kind)
    for item in fields(kind):
        about = item.metadata.get(_KEY)
        if isinstance(about, _Nested):
            for inner in _walk(about.kind, about.without):
                name = about.rename.get(inner.name, inner.name)
                if name in without:
                    continue
                default = MISSING if inner.name in about.required else inner.default
                yield inner._replace(name=name, path=(item.name, *inner.path), default=default)
        else:
            name = (about.name if about else None) or item.name
            if name not in without:
                yield Setting(name, (item.name,), hints[item.name], _default(item), about or About(hidden=True))


def _default(item: Field[Any]) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


def _assemble(kind: type[T], values: Mapping[str, Any]) -> T:
    own: dict[str, Any] = {}
    for item in fields(kind):  # type: ignore[arg-type]  # every configuration is a dataclass
        about = item.metadata.get(_KEY)
        if isinstance(about, _Nested):
            inner = {name: values[outer] for name, outer in _names(about).items() if outer in values}
            own[item.name] = _assemble(about.kind, inner)
        else:
            name = (about.name if about else None) or item.name
            if name in values:
                own[item.name] = values[name]
    return kind(**own)


def _names(about: _Nested) -> dict[str, str]:
    """The settings of a nested configuration that show outside, each with its name there."""
    return {each.name: about.rename.get(each.name, each.name) for each in _walk(about.kind, about.without)}


def _nearest(name: str, names: Collection[str]) -> str:
    from rlaif.constitution.problems import nearest

    return nearest(name, names)
