"""Figures as JSON, by name, and what must not be overwritten."""

import json
import math
from typing import NamedTuple

import pytest

from rlaif.errors import UsageError
from rlaif.evaluate.agreement import Interval
from rlaif.evaluate.config import Outcome
from rlaif.evaluate.outcome import Found, as_json, check, named, write
from rlaif.evaluate.requirements import SHARE


class Row(NamedTuple):
    name: str
    share: Interval
    number: float


ROWS = [Row("all", Interval(0.5, 0.4, 0.6), 0.1), Row("part", Interval(*[math.nan] * 3), math.inf)]


def test_figures_are_named_by_row_and_the_whole_by_itself():
    figures = named(ROWS, "all", first_share="share", count="number")
    assert list(figures) == ["first-share", "count", "first-share/part", "count/part"]
    assert figures["count"] == (0.1, 0.1, 0.1)


def test_what_json_cannot_hold_is_null(tmp_path):
    write(Found(ROWS, [], {}), Outcome(json=tmp_path / "a" / "b.json"), None)
    first, second = json.loads((tmp_path / "a" / "b.json").read_text())
    assert first == {"name": "all", "share": {"value": 0.5, "low": 0.4, "high": 0.6}, "number": 0.1}
    assert second["share"]["low"] is None and second["number"] is None
    assert as_json({"x": (1, Interval(0, 0, 0))}) == {"x": [1, {"value": 0, "low": 0, "high": 0}]}


def test_bad_requirements_and_inputs_in_the_way_are_refused(tmp_path):
    (tmp_path / "rows.jsonl").write_text("{}")
    with pytest.raises(UsageError, match="expected one of share"):
        check(Outcome(require=("shares>0.5",)), {"share": SHARE}, None)
    with pytest.raises(UsageError, match="would replace the input"):
        check(Outcome(json=tmp_path / "rows.jsonl"), {}, str(tmp_path / "rows.jsonl"))
