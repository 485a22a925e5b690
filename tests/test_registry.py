"""Names of ours, of installed packages, and ``module:Name``."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from rlaif import registry
from rlaif.errors import UsageError
from rlaif.registry import Registry


@pytest.fixture
def tools(monkeypatch):
    points = [EntryPoint("mine", "json:loads", "rlaif.tools"), EntryPoint("plain", "json:load", "rlaif.tools")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "rlaif.tools" else [])
    return Registry("tool", "--tool", "rlaif.tools", {"plain": "json:dumps"})


def test_ours_then_the_installed_ones(tools):
    import json

    assert list(tools) == ["plain", "mine"] and len(tools) == 2
    assert tools["plain"] is json.dumps, "an installed package cannot take the place of one of ours"
    assert tools["mine"] is json.loads


def test_module_and_name(tools):
    import json

    assert tools["json:JSONDecoder"] is json.JSONDecoder
    assert "json:JSONDecoder" in tools and "json" not in tools and 3 not in tools


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plian", "--tool plian: no such tool; expected one of plain, mine, or module:Name; did you mean plain?"),
        ("nowhere.at_all:Name", "--tool nowhere.at_all:Name: cannot be imported: No module named 'nowhere'"),
        ("json:nothing", "--tool json:nothing: cannot be imported: module 'json' has no attribute 'nothing'"),
        ("os;x:y", "no such tool"),
    ],
)
def test_what_is_not_there(tools, name, said):
    with pytest.raises(UsageError) as error:
        tools[name]
    assert said in str(error.value)
