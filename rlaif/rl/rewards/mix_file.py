"""A reward mix from its YAML file. All problems of the file are reported at once, with their positions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rlaif.config_file import schema
from rlaif.constitution.problems import Fault, describe, nearest
from rlaif.constitution.read import Source
from rlaif.critic.config import CriticConfig
from rlaif.rl.rewards.base import SOURCES
from rlaif.rl.rewards.config import RewardConfig
from rlaif.settings import configure, settings_of
from rlaif.shipped import constitution_path
from rlaif.yaml_file import read_settings, settle

SCHEMA = Path(__file__).with_name("mix.schema.json")
_CONFIG = settings_of(RewardConfig)
_CRITIC = {*settings_of(CriticConfig), "critic_context", "feedback", "opponents"} - {"mode", "context"}


@dataclass(frozen=True)
class Ingredient:
    """One source of a mix file, not opened yet. gate: below and value."""

    id: str
    config: RewardConfig
    weight: float = 1.0
    optional: bool = False
    gate: tuple[float, float] | None = None


@dataclass(frozen=True)
class Recipe:
    """What a mix file says. tasks: task to the ids of its sources. weights: task to how often it is drawn, empty
    where no task says so."""

    ingredients: tuple[Ingredient, ...]
    normalise: bool = False
    tasks: Mapping[str, frozenset[str]] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)


def load_mix(path: Path) -> Recipe:
    """Read and check. Paths in the file are relative to it.

    Raises UsageError with one line per problem, each ``file:line:column: key: found …; allowed: …``.
    """
    source = read_settings(path, _schema(), "reward mix", "sources")
    if not source.problems:
        _check(source)
    settle(source)
    return _build(source.data, path.parent)


def _schema() -> dict[str, Any]:
    """The schema of the file, in which a critic has the settings that it has everywhere."""
    rules: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    own = rules["definitions"]["critic"]["properties"]
    own |= {name: each for name, each in schema(RewardConfig)["properties"].items() if name in _CRITIC and name not in own}
    return rules


def _check(source: Source) -> None:
    """What a schema cannot say: kinds that there are not, ids that repeat, tasks with unknown sources or without any weight."""
    ids: list[str] = []
    for number, raw in enumerate(source.data["sources"]):
        if (kind := raw["kind"]) not in SOURCES:
            allowed = f"{', '.join(SOURCES)}, or module:Name{nearest(kind, SOURCES)}"
            source.add(Fault(("sources", number, "kind"), f"found {describe(kind)}; allowed: {allowed}"))
        if raw["id"] in ids:
            source.add(Fault(("sources", number, "id"), f"found {describe(raw['id'])} again; ids are unique"))
        ids.append(raw["id"])
    weights = {raw["id"]: raw.get("weight", 1) for raw in source.data["sources"]}
    if not any(weights.values()):
        source.add(Fault(("sources",), "every weight is 0; allowed: at least one above 0", on_key=True))
    for task, raw in source.data.get("tasks", {}).items():
        named = raw.get("sources", ids)
        for number, name in enumerate(named):
            if name not in ids:
                problem = f"found {describe(name)}; allowed: {', '.join(ids)}{nearest(name, ids)}"
                source.add(Fault(("tasks", task, "sources", number), problem))
        if not any(weights.get(name, 1) for name in named):
            source.add(Fault(("tasks", task), "every weight of its sources is 0; allowed: at least one above 0", on_key=True))


def _build(data: Mapping[str, Any], folder: Path) -> Recipe:
    ids = [raw["id"] for raw in data["sources"]]
    tasks = data.get("tasks", {})
    weighted = any("weight" in raw for raw in tasks.values())
    return Recipe(
        ingredients=tuple(_ingredient(raw, folder) for raw in data["sources"]),
        normalise=data.get("normalise", "none") == "group",
        tasks={task: frozenset(raw.get("sources", ids)) for task, raw in tasks.items()},
        weights={task: float(raw.get("weight", 1)) for task, raw in tasks.items()} if weighted else {},
    )


def _ingredient(raw: Mapping[str, Any], folder: Path) -> Ingredient:
    given = {name: value for name, value in raw.items() if name in _CONFIG}
    if "constitution" in given:
        given["constitution"] = constitution_path(given["constitution"], folder)
    if "prompts" in given:
        given["prompts"] = folder / given["prompts"]
    if "reward_model" in given:
        given["reward_model"] = ",".join(_beside(name, folder) for name in given["reward_model"].split(","))
    if "verifier" in given:
        module, _, function = given["verifier"].rpartition(":")
        given["verifier"] = f"{folder / module if module.endswith('.py') else module}:{function}"
    gate = raw.get("gate")
    config = configure(RewardConfig, reward=raw["kind"], **given)
    return Ingredient(
        id=raw["id"],
        config=replace(config, options=tuple(sorted(raw.get("options", {}).items()))),
        weight=float(raw.get("weight", 1)),
        optional=raw.get("optional", False),
        gate=gate and (float(gate["below"]), float(gate["value"])),
    )


def _beside(name: str, folder: Path) -> str:
    """A folder beside the file where there is one; otherwise the name as it is, perhaps a hub's."""
    return str(folder / name) if (folder / name).exists() else name
