"""The public names: importing the package costs nothing, and each name is there when asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rlaif


@pytest.mark.parametrize("name", rlaif.__all__)
def test_every_public_name_is_importable(name):
    assert getattr(rlaif, name).__name__.removeprefix("rlaif.") == name
    assert name in dir(rlaif)


def runs():
    """(function, configuration) of everything in the package that runs a configuration."""
    for path in Path(rlaif.__file__).parent.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if (
                isinstance(node, ast.FunctionDef)
                and node.name.startswith("run_")
                and [each.arg for each in node.args.args] == ["config", "progress"]
            ):
                yield node.name, ast.unparse(node.args.args[0].annotation)


def test_everything_that_runs_a_configuration_is_public():
    found = set(runs())
    assert len(found) >= 7
    assert {name for pair in found for name in pair} <= set(rlaif.__all__)


def test_importing_the_package_imports_nothing_else():
    probe = "import sys, rlaif; print([name for name in sys.modules if name.startswith('rlaif.')], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="nothing"):
        rlaif.nothing  # noqa: B018
