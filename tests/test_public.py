"""The public names: importing the package costs nothing, and each name is there when asked for."""

import subprocess
import sys

import pytest

import rlaif


@pytest.mark.parametrize("name", rlaif.__all__)
def test_every_public_name_is_importable(name):
    assert getattr(rlaif, name).__name__.removeprefix("rlaif.") == name
    assert name in dir(rlaif)


def test_importing_the_package_imports_nothing_else():
    probe = "import sys, rlaif; print([name for name in sys.modules if name.startswith('rlaif.')], 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="nothing"):
        rlaif.nothing  # noqa: B018


def test_a_package_that_is_a_function_stays_a_package():
    import rlaif.label.run as run

    assert callable(rlaif.label)
    assert rlaif.label.run is run
