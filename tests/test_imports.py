"""Modules import each other one way, in functions too: what looks like a circle has to be taken apart, not deferred."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rlaif"
MODULES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imports(path):
    """Every module of the package that the file imports, wherever in it. A package's ``__init__`` counts as a module."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "rlaif":
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in inner if name in MODULES]
            yield from modules
            if len(modules) < len(inner):
                yield node.module


BY_NAME = {
    ("rlaif.critic.templates", "rlaif.critic.modes.compare"),
    ("rlaif.critic.templates", "rlaif.critic.revise"),
    ("rlaif.constitution.types", "rlaif.constitution.load"),
    ("rlaif.rl.config", "rlaif.rl.methods.baseline"),
    ("rlaif.rl.conflicts", "rlaif.rl.config"),
}
"""Forms of templates that are looked up by their name, as the registries look up what they hold; and ``Constitution.load``,
which is ``load_constitution`` under the name that Python users look for; and types alone: of a method's value
settings, and of the settings that are checked."""
GRAPH = {name: {other for other in imports(path) if (name, other) not in BY_NAME} for name, path in MODULES.items()}


def test_no_module_imports_itself_through_others():
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(f"an import circle: {' → '.join(error.args[1])}")


LOWER = {
    "rlaif.data": ("rlaif.critic", "rlaif.label", "rlaif.train", "rlaif.rl", "rlaif.evaluate", "rlaif.report", "rlaif.cli"),
    "rlaif.constitution": ("rlaif.critic", "rlaif.engines", "rlaif.label", "rlaif.cli"),
    "rlaif.engines": ("rlaif.critic", "rlaif.constitution", "rlaif.cli", "rlaif.label"),
    "rlaif.critic": ("rlaif.label", "rlaif.train", "rlaif.rl", "rlaif.evaluate", "rlaif.report", "rlaif.cli"),
}
"""What a part of the package knows nothing of."""


@pytest.mark.parametrize("part", LOWER)
def test_lower_parts_do_not_import_higher_ones(part):
    upward = {
        (name, imported)
        for name, found in GRAPH.items()
        for imported in found
        if (name + ".").startswith(part + ".") and any((imported + ".").startswith(above + ".") for above in LOWER[part])
    }
    assert not upward
