"""A setting is defined once; its value is checked wherever it comes from."""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlaif.errors import UsageError
from rlaif.settings import changed, configure, flag, flat, nested, redefault, resumable, setting, settings_of, verify


@dataclass(frozen=True, kw_only=True)
class Inner:
    models: tuple[str, ...] = setting((), "Who.", name="who")
    context: int | None = setting(None, "Room.", least=16)
    share: float = setting(0.5, "Part.", above=0, most=1)
    seed: int = setting(0, "Luck.")


@dataclass(frozen=True, kw_only=True)
class Outer:
    source: str = setting(help="Rows.", argument=True)
    inner: Inner = nested(Inner, rename={"context": "inner_context"}, required=("who",))
    other: Inner = nested(Inner, without=("who", "share"))
    seed: int = setting(0, "Luck.")
    out: Path | None = setting(None, "Where.", resumable=True)
    how: Literal["a", "b"] = setting("a", "Way.")
    pair: tuple[float, float] | None = setting(None, "Bounds.")
    own: int = setting(7, hidden=True)


@dataclass(frozen=True, kw_only=True)
class Special(Outer):
    seed: int = redefault(Outer, "seed", 5)


def test_names_are_flat_and_required_ones_come_first():
    assert list(settings_of(Outer))[:2] == ["source", "who"]
    assert set(settings_of(Outer)) == {"source", "who", "inner_context", "share", "seed", "context", "out", "how", "pair"}
    assert settings_of(Outer)["who"].default is MISSING and settings_of(Inner)["who"].default == ()


def test_one_value_sets_the_setting_of_that_name_everywhere():
    config = configure(Outer, source="x", who=["m"], seed=3, context=20, inner_context=30)
    assert (config.seed, config.inner.seed, config.other.seed) == (3, 3, 3)
    assert (config.inner.context, config.other.context) == (30, 20)
    assert config.inner.models == ("m",) and config.own == 7


def test_a_default_can_differ_below():
    assert configure(Special, source="x", who="m").seed == 5
    assert settings_of(Special)["seed"].about is settings_of(Outer)["seed"].about


def test_flat_and_back():
    config = configure(Outer, source="x", who=["m", "n"], pair=(0, 1), out="here", how="b")
    assert configure(Outer, **flat(config)) == config
    assert changed(config, how="a") == configure(Outer, **{**flat(config), "how": "a"})
    assert config.out == Path("here") and config.pair == (0.0, 1.0)
    assert resumable(Outer) == {"out"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"who": "m"}, "SOURCE is missing: Rows."),
        ({"source": "x"}, "--who is missing: Who."),
        ({"source": "x", "who": "m", "sede": 1}, "--sede: no such setting; did you mean seed?"),
        ({"source": "x", "who": "m", "context": 3}, "--context 3: must be at least 16"),
        ({"source": "x", "who": "m", "share": 0}, "--share 0.0: must be greater than 0"),
        ({"source": "x", "who": "m", "share": 1.5}, "--share 1.5: must be at most 1"),
        ({"source": "x", "who": "m", "seed": "3"}, "--seed 3: expected a whole number"),
        ({"source": "x", "who": "m", "seed": True}, "--seed True: expected a whole number"),
        ({"source": "x", "who": "m", "how": "c"}, "--how c: expected one of a, b"),
        ({"source": "x", "who": "m", "pair": [1.0]}, "--pair .*: expected 2 values"),
        ({"source": "x", "who": 3}, "--who 3: expected a list of a text"),
    ],
)
def test_what_cannot_be_is_told_by_its_flag(given, said):
    with pytest.raises(UsageError, match=said):
        configure(Outer, **given)


@given(st.floats(allow_nan=True))
def test_bounds_hold_for_every_number(value):
    if 0 < value <= 1:
        assert configure(Inner, share=value).share == value
    else:
        with pytest.raises(UsageError, match="--share"):
            configure(Inner, share=value)


def test_values_given_directly_are_verified_too():
    with pytest.raises(UsageError, match=r"--share 2\.0: must be at most 1"):
        verify(Inner(share=2.0))
    with pytest.raises(FrozenInstanceError):
        Inner().share = 1.0


def test_a_flag_is_spelled_with_hyphens():
    assert flag("max_tokens") == "--max-tokens"
