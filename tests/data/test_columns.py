import json
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from rlaif.data.columns import ColumnError, Entry, Record, Rounded, column, columns, meanings


class Size(TypedDict):
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Entry):
    name: str = column("what it is called")
    weight: Rounded | None = column("in kilograms", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing(Record):
    id: str = column("The thing's name.")
    parts: tuple[Part, ...] = column("A list", default=())
    count: int = column("How many.", default=1)
    price: float = column("Exact.", default=0.0)
    sold: bool | None = column("Whether.", default=None)
    size: Size | None = column("How large.", default=None)
    note: str | None = column("Rarely there.", default=None, sparse=True)
    twice: int = column("2 · `count`.", computed=True)
    more: Any = column("Anything.", default=None)

    def __post_init__(self):
        object.__setattr__(self, "twice", 2 * self.count)


FULL = {
    "id": "a",
    "parts": [{"name": "x", "weight": 0.123457}, {"name": "y", "weight": None}],
    "count": 3,
    "price": 0.1234567891,
    "sold": True,
    "size": {"width": 4},
    "note": "n",
    "twice": 6,
    "more": [{"any": 1}],
}


def test_what_was_written_is_read_again_in_the_same_order():
    thing = Thing.from_dict({**FULL, "own": [1], "other": None})
    assert thing.parts[1].weight is None and thing.extra == {"own": [1], "other": None}
    assert json.dumps(thing.to_dict()) == json.dumps({**FULL, "own": [1], "other": None})
    assert Thing.from_dict(thing.to_dict()) == thing


def test_only_rounded_numbers_are_rounded_and_computed_ones_are_not_read():
    thing = Thing(id="a", parts=(Part(name="x", weight=0.12345678),), price=0.123456789, count=2)
    assert thing.to_dict()["parts"] == [{"name": "x", "weight": 0.123457}]
    assert thing.to_dict()["price"] == 0.123456789
    assert Thing.from_dict({"id": "a", "count": 4, "twice": 5}).twice == 8


def test_columns_that_a_file_lacks_have_their_defaults_and_sparse_ones_are_left_out():
    thing = Thing.from_dict({"id": "a"})
    assert thing.parts == () and thing.count == 1
    assert "note" not in thing.to_dict() and thing.to_dict()["sold"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": None}, "id: must be a text"),
        ({"count": 1.5}, "count: must be a whole number"),
        ({"count": True}, "count: must be a whole number"),
        ({"price": "1"}, "price: must be a number"),
        ({"sold": 1}, "sold: must be true or false"),
        ({"parts": {}}, "parts: must be a list"),
        ({"parts": ["x"]}, "parts: must be an object"),
        ({"parts": [{"weight": 1}]}, "parts: name: missing"),
        ({"parts": [{"name": "x", "weight": "heavy"}]}, "parts: weight: must be a number"),
        ({"size": {"height": 1}}, "size: must have a width"),
        ({"size": []}, "size: must be an object"),
    ],
)
def test_what_does_not_fit_is_named(change, message):
    with pytest.raises(ColumnError, match=message):
        Thing.from_dict({**FULL, **change})


def test_a_missing_column_without_default_is_named():
    with pytest.raises(ColumnError, match="id: missing"):
        Thing.from_dict({})


def test_meanings_tell_the_fields_of_nested_entries():
    assert list(meanings(Thing)) == list(columns(Thing)) == list(FULL)
    assert meanings(Thing)["parts"] == "A list: `name`, what it is called; `weight`, in kilograms."
