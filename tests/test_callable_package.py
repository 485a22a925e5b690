import inspect
import sys
from importlib import import_module

import pytest

import rlaif
from rlaif.callable_package import FUNCTIONS


@pytest.mark.parametrize(("name", "module"), FUNCTIONS.items())
def test_a_package_that_is_a_function_stays_a_package(name, module):
    short = name.removeprefix("rlaif.")
    package = getattr(rlaif, short)
    assert package is sys.modules[name] and package.__path__
    assert inspect.signature(package) == inspect.signature(getattr(import_module(module), short))
    with pytest.raises(TypeError, match="missing"):
        package()
