"""JudgeBench's way of counting, on decisions written out by hand."""

from dataclasses import replace

import pytest

from rlaif.data.records import PrincipleVerdict
from rlaif.errors import UsageError
from rlaif.evaluate.benchmark import decisions, section, sections
from tests.reference.fake_run import turn, write_run


def entry(first, last, name="right", weight=1.0):
    """A verdict by p that chosen is better where it is shown first, and where it is shown last."""
    return PrincipleVerdict(id=name, p=round((first + last) / 2, 6), gap=round(first - last, 6), weight=weight, mass=1.0)


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (0.9, 0.6, (1, 1)),
        (0.9, 0.2, (1, -1)),
        (0.3, 0.8, (-1, 1)),
        (0.5, 0.8, (0, 1)),
        (0.5, 0.5, (0, 0)),
        (0.5, 0.333333, (0, -1)),
    ],
)
def test_each_order_decides_for_itself(first, last, expected):
    assert decisions([entry(first, last)], {}, "weighted") == expected


def test_principles_decide_together_in_each_order():
    entries = [entry(0.9, 0.1, "a"), entry(0.2, 0.7, "b", 3.0), replace(entry(0.5, 0.5, "c"), p=None, gap=None)]
    assert decisions(entries, {}, "weighted") == (-1, 1)
    assert decisions(entries, {"a": 0.9}, "weighted") == (1, -1)
    assert decisions([replace(entry(0.9, 0.1), gap=None)], {}, "weighted") is None


def record(number, source, first, last, margin):
    p = (first + last) / 2
    return {
        "id": f"{number}:0-1",
        "prompt": [turn("user", "q")],
        "chosen": [turn("assistant", "a")],
        "rejected": [turn("assistant", "b")],
        "p_chosen": p,
        "margin": 2 * p - 1,
        "principles": [entry(first, last).to_dict()],
        "rationale": None,
        "critic": "x",
        "row": number,
        "chosen_index": 0,
        "rejected_index": 1,
        "gold": [{"id": "overall", "margin": margin}] if margin else [],
        "source": source,
    }


def test_contradictions_and_double_ties_are_wrong_and_one_tie_is_not(tmp_path):
    records = [
        record(1, "mmlu-pro-law", 0.9, 0.8, 1.0),  # right
        record(2, "mmlu-pro-math", 0.9, 0.2, 1.0),  # contradiction, though the mean is right
        record(3, "livebench-math", 0.5, 0.8, 1.0),  # a tie and a decision: right
        record(4, "livecodebench", 0.5, 0.5, 1.0),  # two ties
        record(5, "livecodebench", 0.9, 0.8, -1.0),  # wrong
        record(6, "livebench-reasoning", 0.9, 0.8, 0.0),  # no label
    ]
    found = {one.name: one for one in sections(write_run(tmp_path, records), "source")}
    assert list(found) == ["Knowledge", "Math", "Coding", "all"]
    assert [(one.pairs, one.both.value, one.contradictions.value, one.mean.value) for one in found.values()] == [
        (2, 0.5, 0.5, 1.0), (1, 1.0, 0.0, 1.0), (2, 0.0, 0.0, 0.0), (5, 0.4, 0.2, 0.6),
    ]  # fmt: skip
    assert [one.name for one in sections(tmp_path)] == ["all"]
    with pytest.raises(UsageError, match="column 'family'"):
        sections(tmp_path, "family")


def test_sections_go_by_the_beginning_of_the_source():
    assert [section(name) for name in ("mmlu-pro-computer science", "livebench-math", "mine")] == ["Knowledge", "Math", "mine"]
